/** Options of `teleport install systemd`. */
export interface UnitOptions {
  readonly envFile: string
  readonly pidFile: string
  readonly fdLimit: number
  readonly teleportPath: string
  readonly configFile: string
}

/** The unit file under which systemd runs the daemon. */
export function systemdUnit({ envFile, pidFile, fdLimit, teleportPath, configFile }: UnitOptions): string {
  return `[Unit]
Description=Teleport Service
After=network.target

[Service]
Type=simple
Restart=always
RestartSec=5
EnvironmentFile=-${envFile}
ExecStart=${teleportPath} start --config ${configFile} --pid-file=${pidFile}
# systemd before 239 needs an absolute path
ExecReload=/bin/sh -c "exec pkill -HUP -L -F ${pidFile}"
PIDFile=${pidFile}
LimitNOFILE=${fdLimit}

[Install]
WantedBy=multi-user.target
`
}
