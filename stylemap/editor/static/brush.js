// The brush of brush.py, bit for bit: the browser shows the mask that the server uses without asking for it.

/** Draw a polyline (x, y, x, y, …) into a mask of size×size; returns the rectangle that it may have changed. */
export function paint(pixels, size, points, { radius, hardness, erase }) {
  const box = { left: size, top: size, right: 0, bottom: 0 };
  const last = Math.max(0, points.length / 2 - 2);
  for (let i = 0; i <= last; i++) {
    const j = points.length > 2 ? i + 1 : i;
    segment(pixels, size, points[2 * i], points[2 * i + 1], points[2 * j], points[2 * j + 1], radius, hardness, erase, box);
  }
  return box;
}

function segment(pixels, size, ax, ay, bx, by, radius, hardness, erase, box) {
  const reach = radius + 1;
  const left = Math.max(0, Math.floor(Math.min(ax, bx) - reach));
  const top = Math.max(0, Math.floor(Math.min(ay, by) - reach));
  const right = Math.min(size, Math.ceil(Math.max(ax, bx) + reach));
  const bottom = Math.min(size, Math.ceil(Math.max(ay, by) + reach));
  if (left >= right || top >= bottom) return;
  const ex = bx - ax, ey = by - ay, length = ex * ex + ey * ey;
  const soft = Math.max(1, (1 - hardness) * radius);
  for (let row = top; row < bottom; row++) {
    for (let column = left; column < right; column++) {
      let x = column + 0.5 - ax, y = row + 0.5 - ay;
      if (length > 0) {
        const along = Math.min(1, Math.max(0, (x * ex + y * ey) / length));
        x -= along * ex;
        y -= along * ey;
      }
      const coverage = (radius + 0.5 - Math.sqrt(x * x + y * y)) / soft;
      const value = Math.floor(Math.min(1, Math.max(0, coverage)) * 255 + 0.5);
      const at = row * size + column;
      pixels[at] = erase ? Math.min(pixels[at], 255 - value) : Math.max(pixels[at], value);
    }
  }
  box.left = Math.min(box.left, left);
  box.top = Math.min(box.top, top);
  box.right = Math.max(box.right, right);
  box.bottom = Math.max(box.bottom, bottom);
}
