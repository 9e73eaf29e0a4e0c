/** AWS Secrets Manager, a few operations. @see AWS Secrets Manager API Reference */

import { newId } from './account.ts'
import { AwsError } from './aws-error.ts'
import type { AwsService } from './call.ts'
import { type JsonCall, type JsonObject, jsonService, textField } from './json-service.ts'

interface StoredSecret {
  readonly arn: string
  readonly name: string
  readonly value: string
  readonly versionId: string
  readonly createdAt: Date
}

/** CreateSecret, GetSecretValue, PutSecretValue, DescribeSecret, ListSecrets, DeleteSecret. */
export function secretsManager(): AwsService {
  const secrets = new Map<string, StoredSecret>()
  const prefixOf = ({ call, accountId }: JsonCall): string =>
    `arn:${call.endpoint.partition}:secretsmanager:${call.endpoint.region}:${accountId}:secret:`
  const lookUp = (json: JsonCall): StoredSecret | undefined => {
    const id = textField(json.input, 'SecretId')
    return [...secrets.values()].find(({ arn, name }) => arn === id || (name === id && arn.startsWith(prefixOf(json))))
  }
  const resource = (json: JsonCall): string =>
    lookUp(json)?.arn ??
    (String(json.input.SecretId).startsWith('arn:')
      ? String(json.input.SecretId)
      : `${prefixOf(json)}${json.input.SecretId}`)
  const find = (json: JsonCall): StoredSecret => {
    const secret = lookUp(json)
    if (secret) return secret
    throw new AwsError('ResourceNotFoundException', 400, "Secrets Manager can't find the specified secret.")
  }
  const newVersion = (json: JsonCall, secret: Pick<StoredSecret, 'arn' | 'name'>): StoredSecret => {
    const { arn, name } = secret
    const stored = {
      arn,
      name,
      value: textField(json.input, 'SecretString'),
      versionId: newId('V'),
      createdAt: json.call.now,
    }
    secrets.set(arn, stored)
    return stored
  }
  return jsonService({
    name: 'secretsmanager',
    target: 'secretsmanager',
    version: '1.1',
    namespace: '',
    operations: {
      CreateSecret: {
        resource: (json) => `${prefixOf(json)}${textField(json.input, 'Name')}`,
        run(json) {
          const name = textField(json.input, 'Name')
          const taken = [...secrets.values()].some(
            (secret) => secret.name === name && secret.arn.startsWith(prefixOf(json)),
          )
          if (taken)
            throw new AwsError(
              'ResourceExistsException',
              400,
              `The operation failed because the secret ${name} already exists.`,
            )
          return shown(newVersion(json, { name, arn: `${prefixOf(json)}${name}-${newId('').slice(0, 6)}` }))
        },
      },
      PutSecretValue: { resource, run: (json) => shown(newVersion(json, find(json))) },
      GetSecretValue: {
        resource,
        run(json) {
          const secret = find(json)
          return { ...shown(secret), SecretString: secret.value, CreatedDate: secret.createdAt.getTime() / 1000 }
        },
      },
      DescribeSecret: { resource, run: (json) => shown(find(json)) },
      ListSecrets: {
        resource: () => '*',
        run: (json) => ({
          SecretList: [...secrets.values()]
            .filter(({ arn }) => arn.startsWith(prefixOf(json)))
            .map(({ arn, name }) => ({ ARN: arn, Name: name })),
        }),
      },
      DeleteSecret: {
        resource,
        run(json) {
          const { arn, name } = find(json)
          secrets.delete(arn)
          return { ARN: arn, Name: name, DeletionDate: json.call.now.getTime() / 1000 }
        },
      },
    },
  })
}

const shown = ({ arn, name, versionId }: StoredSecret): JsonObject => ({ ARN: arn, Name: name, VersionId: versionId })
