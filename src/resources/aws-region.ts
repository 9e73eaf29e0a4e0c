/**
 * Whether a text has the form of a region of the standard AWS partition: `us-east-1`, `ap-southeast-2`.
 * By form and not by list, so that a new region works on its first day; `aws-global` and other partitions are none.
 * @see AWS General Reference, "Regional endpoints"
 */
export function isRegion(text: string): boolean {
  return /^(af|ap|ca|eu|il|me|mx|sa|us)-(central|north|south|east|west|northeast|northwest|southeast|southwest)-\d{1,2}$/.test(
    text,
  )
}
