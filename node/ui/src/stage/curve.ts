/** The shape of a cable on the sea floor: a curve that hangs between two sites, and its two halves when it is cut. */
export interface Point { x: number; y: number }
type Curve = [Point, Point, Point, Point];

/** A cable between two points at the surface; `depth` is how far it sinks in the middle. */
export function cable(a: Point, b: Point, depth: number): Curve {
  const lean = (b.x - a.x) * 0.12;
  // A curve of this kind reaches three quarters of the way to its two inner points.
  const y = Math.max(a.y, b.y) + depth / 0.75;
  return [a, { x: a.x + lean, y }, { x: b.x - lean, y }, b];
}

const between = (a: Point, b: Point, t: number): Point => ({ x: a.x + (b.x - a.x) * t, y: a.y + (b.y - a.y) * t });

/** Both parts of a curve divided at `t` (de Casteljau). */
function divide([a, b, c, d]: Curve, t: number): [Curve, Curve] {
  const [ab, bc, cd] = [between(a, b, t), between(b, c, t), between(c, d, t)];
  const [abc, bcd] = [between(ab, bc, t), between(bc, cd, t)];
  const middle = between(abc, bcd, t);
  return [[a, ab, abc, middle], [middle, bcd, cd, d]];
}

/** A loose end hangs a little lower than it did. */
const sunk = ({ x, y }: Point): Point => ({ x, y: y + 12 });

export const middle = (curve: Curve): Point => divide(curve, 0.5)[1][0];

/** What is left of a cut cable: two ends that fall apart, `gap` of the whole missing between them. */
export function severed(curve: Curve, gap: number): [Curve, Curve] {
  const left = divide(curve, 0.5 - gap / 2)[0];
  const right = divide(curve, 0.5 + gap / 2)[1];
  return [
    [left[0], left[1], left[2], sunk(left[3])],
    [sunk(right[0]), right[1], right[2], right[3]],
  ];
}

export function path([a, b, c, d]: Curve): string {
  const at = ({ x, y }: Point) => `${x.toFixed(1)} ${y.toFixed(1)}`;
  return `M${at(a)}C${at(b)} ${at(c)} ${at(d)}`;
}
