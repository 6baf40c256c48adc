// Makes one colour of the picture transparent, on a canvas over the video: for avatars before a key colour.

/** Distances from the key in the plane of colours, 0 to 255: what is nearer is clear, what is farther stays. */
const NEAR = 26;
const FAR = 60;
/** Pixels at each upper corner whose mean is the key. */
const CORNER = 6;

const chroma = (r, g, b) => [-0.1687 * r - 0.3313 * g + 0.5 * b, 0.5 * r - 0.4187 * g - 0.0813 * b];

/** The mean colour of the picture's upper corners. */
function corners(data, width) {
  const sum = [0, 0, 0];
  for (let y = 0; y < CORNER; y++) {
    for (let x = 0; x < CORNER; x++) {
      for (const column of [x, width - 1 - x]) {
        for (let n = 0; n < 3; n++) sum[n] += data[4 * (y * width + column) + n];
      }
    }
  }
  return sum.map((all) => all / (2 * CORNER * CORNER));
}

/** Takes the colour `key`, [r, g, b], out of the pixels `data`, and its shine off what stays. */
export function keyOut(data, key) {
  const [u, v] = chroma(...key);
  const strongest = key.indexOf(Math.max(...key));
  const others = [0, 1, 2].filter((n) => n !== strongest);
  for (let n = 0; n < data.length; n += 4) {
    const [cu, cv] = chroma(data[n], data[n + 1], data[n + 2]);
    const away = Math.hypot(cu - u, cv - v);
    if (away >= 2 * FAR) continue;
    const share = Math.min(Math.max((away - NEAR) / (FAR - NEAR), 0), 1);
    data[n + 3] = 255 * share * share * (3 - 2 * share);
    const most = Math.max(data[n + others[0]], data[n + others[1]]);
    if (data[n + strongest] > most) data[n + strongest] = most;
  }
}

/** Draws each picture of `video` on `canvas` without the colour of its upper corners. */
export function showKeyed(video, canvas) {
  const paint = canvas.getContext('2d', { willReadFrequently: true });
  const draw = () => {
    const [width, height] = [video.videoWidth, video.videoHeight];
    if (width && height) {
      if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
      paint.drawImage(video, 0, 0);
      const picture = paint.getImageData(0, 0, width, height);
      keyOut(picture.data, corners(picture.data, width));
      paint.putImageData(picture, 0, 0);
    }
    video.requestVideoFrameCallback(draw);
  };
  video.requestVideoFrameCallback(draw);
}
