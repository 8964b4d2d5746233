// Boxes {left, top, right, bottom} over pixels and cells; one without an inside is empty.

export const all = (size) => ({ left: 0, top: 0, right: size, bottom: size });

export const none = (size) => ({ left: size, top: size, right: 0, bottom: 0 });

export const isEmpty = ({ left, top, right, bottom }) => left >= right || top >= bottom;

export const join = (a, b) => ({
  left: Math.min(a.left, b.left),
  top: Math.min(a.top, b.top),
  right: Math.max(a.right, b.right),
  bottom: Math.max(a.bottom, b.bottom),
});

/** The cells of side `factor` that have a part in it. */
export const cells = ({ left, top, right, bottom }, factor) => ({
  left: Math.floor(left / factor),
  top: Math.floor(top / factor),
  right: Math.ceil(right / factor),
  bottom: Math.ceil(bottom / factor),
});

export const move = ({ left, top, right, bottom }, dx, dy) => ({ left: left + dx, top: top + dy, right: right + dx, bottom: bottom + dy });

/** Larger by so much on each side, within size×size. */
export const grow = ({ left, top, right, bottom }, by, size) => ({
  left: Math.max(0, left - by),
  top: Math.max(0, top - by),
  right: Math.min(size, right + by),
  bottom: Math.min(size, bottom + by),
});

/** Where two arrays of size×size differ. */
export function difference(a, b, size) {
  let box = none(size);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      if (a[y * size + x] !== b[y * size + x]) box = { left: Math.min(box.left, x), top: Math.min(box.top, y), right: Math.max(box.right, x + 1), bottom: y + 1 };
    }
  }
  return box;
}
