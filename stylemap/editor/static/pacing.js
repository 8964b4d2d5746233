// How many points of a stroke are painted: a fast mouse with a wide brush tells more than a server paints.

const RATE = 20e6; // pixels a second, half of what a server lets one session paint (limits.py)
const BURST = 40e6;
const APART = 0.25; // of the radius: nearer points change little of what a wide brush covers

export class Pacing {
  /** @param {number} size of the mask */
  constructor(size) {
    this.size = size;
    this.left = BURST;
    this.time = 0;
    this.held = null; // the newest point, where it was left out
  }

  /** Those of the points x, y, … that are painted, after `last`: all, or, while they cost more than may be spent, those
   *  that are some way from the one before.
   *  @param {number[]} points
   *  @param {number[] | null} last
   *  @param {number} radius
   *  @param {number} time in ms */
  take(points, last, radius, time) {
    this.left = Math.min(BURST, this.left + (RATE * Math.max(0, time - this.time)) / 1000);
    this.time = Math.max(this.time, time);
    const kept = [];
    for (let i = 0; i < points.length; i += 2) {
      const [x, y] = points.slice(i, i + 2);
      const dx = last ? Math.abs(x - last[0]) : 0, dy = last ? Math.abs(y - last[1]) : 0;
      this.held = last && this.left < 0 && Math.hypot(dx, dy) < APART * radius ? [x, y] : null;
      if (this.held) continue;
      const side = (step) => Math.min(this.size, step + 2 * radius + 2);
      this.left -= side(dx) * side(dy) + side(0) ** 2; // each message repeats a point
      last = [x, y];
      kept.push(x, y);
    }
    return kept;
  }

  /** The last point of a stroke, where it was left out. */
  rest() {
    const held = this.held ?? [];
    this.held = null;
    return held;
  }
}
