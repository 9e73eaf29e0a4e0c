import { AccessError } from '#errors.ts'

/** Nothing of this kind has this name. */
export class ResourceNotFound extends AccessError {
  override readonly code = 'not-found'

  constructor(kind: string, name: string) {
    super(`${kind} "${name}" does not exist`, { hint: `run "tctl get ${kind}" to see what exists` })
  }
}

/** Something of this kind has this name already. */
export class ResourceExists extends AccessError {
  override readonly code = 'already-exists'

  constructor(kind: string, name: string) {
    super(`${kind} "${name}" already exists`, {
      hint: 'choose another name, or replace it with "tctl create -f"',
    })
  }
}

/** The resource has another revision than the one that the change was made from. */
export class ResourceChanged extends AccessError {
  override readonly code = 'conflict'

  constructor(kind: string, name: string, cause?: unknown) {
    super(`${kind} "${name}" was changed since it was read`, {
      hint: `get it again with "tctl get ${kind}/${name}" and repeat the change`,
      cause,
    })
  }
}
