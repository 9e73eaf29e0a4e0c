/** `npm run build`: bundles every program of `bin` into `dist`. */
import { bundlePrograms } from './bundle.ts'

for (const { name, bytes } of await bundlePrograms(new URL('../dist', import.meta.url).pathname)) {
  console.log(`dist/${name}: ${(bytes / 1024).toFixed(0)} KiB in all`)
}
