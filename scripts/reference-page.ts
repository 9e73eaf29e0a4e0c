/** What all pages of the reference are made of. */

/** A page that is made from the source, and says so. */
export function page(title: string, parts: readonly string[]): string {
  return `${[`# ${title}`, madeFromSource, ...parts].join('\n\n')}\n`
}

const madeFromSource = '<!-- Made from the source by `npm run generate`: change the source, not this page. -->'

/** A table of Markdown; bars in cells are escaped. */
export function table(headers: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`
  return [line(headers), line(headers.map(() => '---')), ...rows.map(line)].join('\n')
}

/** A block of code. */
export function code(text: string, language = ''): string {
  return `\`\`\`${language}\n${text}\n\`\`\``
}
