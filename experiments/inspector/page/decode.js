// Arrays as they lie within the page, and looking into them.

/** Everything within a value, its packed arrays as {shape, values}; see arrays.py. */
async function unpack(value) {
  if (Array.isArray(value)) return Promise.all(value.map(unpack));
  if (value === null || typeof value !== "object") return value;
  if ("scale" in value && "data" in value) return unpackArray(value);
  const parts = await Promise.all(Object.entries(value).map(async ([name, part]) => [name, await unpack(part)]));
  return Object.fromEntries(parts);
}

async function unpackArray({ shape, scale, data: text }) {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const whole = new Int16Array(await new Response(stream).arrayBuffer());
  const row = whole.length / (shape[0] || 1);
  // What lies there are differences; their sums wrap around as they did.
  for (let k = row; k < whole.length; k += 1) whole[k] += whole[k - row];
  return { shape, values: Float32Array.from(whole, (number) => (number === -32768 ? NaN : number * scale)) };
}

/** The values at one step of an array (time, ...). */
function atStep(array, step) {
  const row = array.values.length / array.shape[0];
  return array.values.subarray(step * row, (step + 1) * row);
}

/** An array (time, row) as the rows over time that a heat map takes. */
function overTime({ shape: [steps, rows], values }) {
  return Array.from({ length: rows }, (_, row) => Float32Array.from({ length: steps }, (_, step) => values[step * rows + row]));
}

/** Rows of so many values. */
const inRows = (values, width) => Array.from({ length: values.length / width }, (_, row) => values.subarray(row * width, (row + 1) * width));

const peak = (values) => values.reduce((most, value) => (Math.abs(value) > most ? Math.abs(value) : most), 0);
const argmax = (values) => values.reduce((best, value, k) => (value > values[best] ? k : best), 0);
