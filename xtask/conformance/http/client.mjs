// Asks the cache at a URL the suite's questions, and prints one line of JSON: the rows and what became of them.
// With a second argument: only rows with that in their ids, and those that they depend on.
import { createRequire } from 'node:module'
import fetch from 'node-fetch'
import { getResults, runTests } from 'http-cache-tests/client/runner.mjs'
import tables from 'http-cache-tests/tests/index.mjs'
// Not among them: it is for caches that stand before one origin, as ours does here.
import surrogates from 'http-cache-tests/tests/surrogate-control.mjs'

const [url, only = ''] = process.argv.slice(2)
const { version } = createRequire(import.meta.url)('http-cache-tests/package.json')

const all = new Map([...tables, surrogates].flatMap(table => table.tests).map(row => [row.id, row]))
const needed = new Set()
function need (row) {
  needed.add(row)
  for (const id of row.depends_on ?? []) need(all.get(id))
}
const asked = [...all.values()].filter(row => row.browser_only !== true && row.id.includes(only))
asked.forEach(need)
const run = [...all.values()].filter(row => needed.has(row))

// An answer that never comes is a failure of its row, not of the run.
const patient = (address, init) => fetch(address, { timeout: 30_000, ...init })

await runTests([{ tests: run }], patient, false, url)
const rows = run.map(row => ({
  id: row.id,
  kind: row.kind ?? 'required',
  depends_on: row.depends_on ?? [],
  asked: asked.includes(row)
}))
console.log(JSON.stringify({ version, rows, results: getResults() }))
