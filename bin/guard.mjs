// Speaks up where the installed Node.js is too old to run TypeScript files as they are. Plain JavaScript that old versions can parse.
var oldest = 26
var major = Number(process.versions.node.split('.')[0])
if (!(major >= oldest)) {
  console.error(`ERROR: Node.js ${process.versions.node} is too old: ${oldest} or newer is needed`)
  console.error(
    'hint: run "npm ci" in the checkout, which installs a pinned Node.js on Linux and macOS; elsewhere install Node.js ' +
      oldest,
  )
  process.exit(1)
}
