// A photo and its reflection around it, as stylemap.photo.resample continues one; without its blur.

/**
 * @param {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} context in pixels of the photo
 * @param {ImageBitmap} photo
 */
export function drawReflected(context, photo) {
  for (const column of [-1, 0, 1]) {
    for (const row of [-1, 0, 1]) {
      context.save();
      // A mirrored copy begins at its far edge.
      context.translate((column + Math.abs(column)) * photo.width, (row + Math.abs(row)) * photo.height);
      context.scale(column ? -1 : 1, row ? -1 : 1);
      context.drawImage(photo, 0, 0);
      context.restore();
    }
  }
}
