// What part of the picture the panes show: zoomed about a point, moved, fitted, or at its own size.

const MOST = 32;

export class View {
  /** changed(): after every move. */
  constructor(changed) {
    this.changed = changed;
    this.zoom = 1;
    this.x = this.y = 0; // of the pane's corner, in fractions of the picture
  }

  /** Zoom by a factor; the point u, v of the pane (fractions) keeps what it shows. */
  zoomBy(factor, u = 0.5, v = 0.5) {
    this.zoomTo(this.zoom * factor, u, v);
  }

  zoomTo(zoom, u = 0.5, v = 0.5) {
    const [x, y] = this.toPicture(u, v);
    this.zoom = Math.min(MOST, Math.max(1 / MOST, zoom));
    this.#place(x - u / this.zoom, y - v / this.zoom);
  }

  /** Move by fractions of the pane. */
  pan(du, dv) {
    this.#place(this.x - du / this.zoom, this.y - dv / this.zoom);
  }

  fit() {
    this.zoom = 1;
    this.#place(0, 0);
  }

  /** One pixel of the picture on each pixel of the screen. side: of the pane, in pixels of the screen. */
  actual(size, side) {
    this.zoomTo(size / side);
  }

  /** What a pane shows of a picture of that size, in its pixels; null where it shows more than the picture. */
  part(size) {
    if (this.zoom < 1) return null;
    return { x: this.x * size, y: this.y * size, length: size / this.zoom };
  }

  toPicture(u, v) {
    return [this.x + u / this.zoom, this.y + v / this.zoom];
  }

  #place(x, y) {
    const room = 1 - 1 / this.zoom;
    // A picture larger than its pane fills it, a smaller one lies in the middle.
    const within = (value) => (room > 0 ? Math.min(room, Math.max(0, value)) : room / 2);
    this.x = within(x);
    this.y = within(y);
    this.changed();
  }
}
