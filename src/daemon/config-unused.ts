/** The keys of the reference that this product takes and does not act on: one list, for files of version v1 to v3. */

/** Sections for what is not served here. Their contents are not looked at. */
export const unusedSections = [
  'access_graph',
  'db_service',
  'debug_service',
  'discovery_service',
  'jamf_service',
  'kubernetes_service',
  'metrics_service',
  'okta_service',
  'plugins',
  'relay_service',
  'ssh_service',
  'tracing_service',
  'windows_desktop_service',
] as const

/** Keys inside sections that are served. */
export const unusedKeys = {
  teleport: [
    'ca_signature_algo',
    'cache',
    'ciphers',
    'ciphersuites',
    'kex_algos',
    'keys',
    'mac_algos',
    'relay_server',
    'rotation',
    'trace',
  ],
  auth_service: [
    'access_monitoring',
    'ca_key_params',
    'case_insensitive_routing',
    'cloud_label_features',
    'hosted_plugins',
    'kubeconfig_file',
    'license_file',
    'load_all_cas',
    'oidc_connectors',
    'proxy_protocol',
    'push_notifications',
    'routing_strategy',
    'ssh_dial_timeout',
    'tunnel_strategy',
  ],
  proxy_service: [
    'acme',
    'automatic_upgrades_channels',
    'idp',
    'kube_listen_addr',
    'kube_public_addr',
    'kubernetes',
    'listen_addr',
    'mongo_listen_addr',
    'mongo_public_addr',
    'mysql_listen_addr',
    'mysql_public_addr',
    'mysql_server_version',
    'peer_listen_addr',
    'peer_public_addr',
    'postgres_listen_addr',
    'postgres_public_addr',
    'proxy_protocol',
    'proxy_protocol_allow_downgrade',
    'ssh_public_addr',
    'trust_x_forwarded_for',
    'tunnel_listen_addr',
    'tunnel_public_addr',
    'ui',
  ],
  app_service: ['debug_app', 'mcp_demo_server'],
} as const

/** Sections of which most files say that they are off: that needs no warning. */
export function isSwitchedOff(section: unknown): boolean {
  if (typeof section !== 'object' || section === null) return true
  const { enabled } = section as { enabled?: unknown } // an object, as was just seen
  return enabled === false || (typeof enabled === 'string' && /^(no|off|false|0)$/i.test(enabled))
}
