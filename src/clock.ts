/** Gives the present instant. Whatever depends on time takes one, so that no test waits. */
export type Clock = () => Date

/** The machine's own clock. */
export const systemClock: Clock = () => new Date()
