// What the page does: NiiVue's three pictures of one registration, linked, and the grid that is drawn here.
const Niivue = globalThis.Niivue;
const AXIAL_CORONAL_SAGITTAL = 3, RENDER = 4;
const byId = (id) => document.getElementById(id);
const state = { section: -1, images: {}, field: null, timer: 0, frame: 0 };

async function bytes(text) {
  const packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

const calm = { loadingText: "", isResizeCanvas: true, dragAndDropEnabled: false, isRadiologicalConvention: true, logLevel: "error" };
// As in the figures: the patient's right and front are on the left.
const planes = { ...calm, multiplanarShowRender: 0, sagittalNoseLeft: true, crosshairColor: [1, 0.9, 0.2, 0.6], crosshairWidth: 0.4, tileMargin: 6 };
const overlay = new Niivue(planes);
const jacobian = new Niivue(planes);
const surface = new Niivue({ ...calm, backColor: [1, 1, 1, 1], show3Dcrosshair: false, isOrientCube: true });
const views = [[overlay, "overlay"], [jacobian, "jacobian"], [surface, "surface"]];

// Blue where the moving CT takes less room, orange where it takes more, nothing where both take the same.
const LOG = { R: [0, 90, 255, 255, 255], G: [90, 160, 255, 170, 90], B: [255, 255, 255, 60, 0], A: [230, 120, 0, 120, 230], I: [0, 64, 128, 192, 255] };
const OUTLINES = { R: [0, 0, 255, 255], G: [0, 213, 74, 230], B: [0, 255, 28, 90], A: [0, 255, 255, 255], I: [0, 1, 2, 3], labels: ["", "fixed", "moved", "both"] };

async function start() {
  if (!document.createElement("canvas").getContext("webgl2")) throw new Error("this browser has none");
  for (const [nv, id] of views) await nv.attachToCanvas(byId(id));
  for (const nv of [overlay, jacobian]) { nv.setSliceType(AXIAL_CORONAL_SAGITTAL); nv.setMultiplanarLayout(3); }
  surface.setSliceType(RENDER);
  overlay.addColormap("log_jacobian", LOG);
  jacobian.addColormap("log_jacobian", LOG);
  overlay.broadcastTo([jacobian], { "2d": true, "3d": false });
  jacobian.broadcastTo([overlay], { "2d": true, "3d": false });
  overlay.onLocationChange = moved;
  jacobian.onLocationChange = moved;
  byId("log-colours").style.background = "linear-gradient(to right, rgb(0 90 255), rgb(90 160 255), #fff, rgb(255 170 60), rgb(255 90 0))";
  for (const button of document.querySelectorAll(".tab")) button.onclick = () => show(Number(button.dataset.section));
  for (const id of ["stage", "opacity", "mode", "colour", "outlines", "window"]) byId(id).oninput = draw;
  for (const box of document.querySelectorAll(".mesh")) box.oninput = drawMeshes;
  await show(0);
}

async function volume(nv, name, text, options) {
  await nv.addVolumeFromUrl({ url: `${name}.nii`, name: `${name}.nii`, buffer: await bytes(text), ...options });
}

async function show(number) {
  document.body.dataset.state = "loading";
  state.section = number;
  for (const part of document.querySelectorAll("section[data-section]")) part.hidden = Number(part.dataset.section) !== number;
  for (const button of document.querySelectorAll(".tab")) button.classList.toggle("on", Number(button.dataset.section) === number);
  const data = JSON.parse(byId(`data-${number}`).textContent);
  for (const nv of [overlay, jacobian]) while (nv.volumes.length) nv.removeVolumeByIndex(0);
  for (const mesh of [...surface.meshes]) surface.removeMesh(mesh);

  await volume(overlay, "fixed", data.volumes.fixed, { colormap: "gray", opacity: 1, cal_min: -200, cal_max: 1000 });
  await volume(overlay, "over", data.volumes.moved, { colormap: "warm", opacity: 0.5, cal_min: -200, cal_max: 1000 });
  await volume(overlay, "outlines", data.volumes.outlines, { opacity: 1 });
  overlay.volumes[2].setColormapLabel(OUTLINES);
  state.images = { fixed: overlay.volumes[0].img.slice(), moved: overlay.volumes[1].img.slice() };
  for (const stage of ["affine", "before"]) state.images[stage] = await voxels(data.volumes[stage], state.images.fixed.length);
  state.images.checker = {};
  state.grid = { dims: overlay.volumes[0].dims.slice(1, 4), first: origin(overlay.volumes[0]), step: overlay.volumes[0].pixDims[1] };

  await volume(jacobian, "fixed", data.volumes.fixed, { colormap: "gray", opacity: 1, cal_min: -200, cal_max: 1000 });
  await volume(jacobian, "log_jacobian", data.volumes.log_jacobian, { colormap: "log_jacobian", opacity: 0.9, cal_min: -Math.LN2, cal_max: Math.LN2 });

  state.field = { ...data.field, data: new Int16Array(await bytes(data.field.data)) };
  for (const [name, text] of Object.entries(data.meshes)) {
    const rgba255 = name === "moved" ? [255, 74, 28, 255] : [190, 190, 190, 255];
    await surface.addMeshFromUrl({ url: `${name}.mz3`, name: `${name}.mz3`, buffer: await bytes(text), rgba255 });
    surface.meshes[surface.meshes.length - 1].role = name;
  }
  drawMeshes();
  for (const nv of [overlay, jacobian]) nv.scene.crosshairPos = nv.mm2frac(data.start);
  draw();
  moved({ mm: data.start });
  document.body.dataset.state = "shown";
}

// The bytes of a volume that lies on the grid of the fixed one: what follows the header.
async function voxels(text, count) {
  const file = await bytes(text);
  return new Uint8Array(file.slice(file.byteLength - count));
}

const origin = (image) => [0, 1, 2].map((axis) => image.matRAS[axis * 4 + 3]);

function checkerboard(stage) {
  if (!state.images.checker[stage]) {
    const [nx, ny, nz] = state.grid.dims, side = 14 / state.grid.step, other = state.images[stage];
    const mixed = state.images.fixed.slice();
    const odd = (n) => Math.floor(n / side);
    for (let z = 0, i = 0; z < nz; z++) for (let y = 0; y < ny; y++) for (let x = 0; x < nx; x++, i++)
      if ((odd(x) + odd(y) + odd(z)) % 2) mixed[i] = other[i];
    state.images.checker[stage] = mixed;
  }
  return state.images.checker[stage];
}

function draw() {
  const stage = byId("stage").value, mode = byId("mode").value, opacity = Number(byId("opacity").value);
  const [low, high] = byId("window").value.split(",").map(Number);
  clearInterval(state.timer);
  byId("opacity").disabled = mode !== "blend";
  overlay.volumes[0].img.set(mode === "checker" ? checkerboard(stage) : state.images.fixed);
  overlay.volumes[1].img.set(state.images[stage]);
  overlay.volumes[1].colormap = mode === "flicker" ? "gray" : byId("colour").value;
  for (const image of [overlay.volumes[0], overlay.volumes[1], jacobian.volumes[0]]) { image.cal_min = low; image.cal_max = high; }
  overlay.volumes[1].opacity = mode === "blend" ? opacity : 0;
  overlay.volumes[2].opacity = byId("outlines").checked ? 1 : 0;
  overlay.updateGLVolume();
  jacobian.updateGLVolume();
  if (mode === "flicker") {
    let on = false;
    state.timer = setInterval(() => { on = !on; overlay.setOpacity(1, on ? 1 : 0); }, 600);
  }
  drawGrids();
}

function drawMeshes() {
  for (const box of document.querySelectorAll(".mesh"))
    for (const mesh of surface.meshes) if (mesh.role === box.value) mesh.visible = box.checked;
  surface.drawScene();
}

function moved(location) {
  if (!location.mm) return;
  state.mm = [...location.mm].slice(0, 3);
  byId("place").textContent = `crosshair at ${state.mm.map((v) => v.toFixed(1)).join(", ")} mm (RAS)`;
  drawGrids();
}

// One plane: the fixed CT in grey, and over it the lines on which a coordinate of x + u(x) is a multiple of 6 mm.
function drawGrids() {
  if (!state.field || !state.mm) return;
  cancelAnimationFrame(state.frame);
  state.frame = requestAnimationFrame(() => { for (const axis of [0, 1, 2]) drawGrid(byId(`grid-${axis}`), axis); });
}

function drawGrid(canvas, axis) {
  const { dims, first, step } = state.grid, [h, v] = [[1, 2], [0, 2], [0, 1]][axis];
  const width = dims[h], height = dims[v], stride = [1, dims[0], dims[0] * dims[1]];
  const at = Math.min(dims[axis] - 1, Math.max(0, Math.round((state.mm[axis] - first[axis]) / step)));
  const scale = 3;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const context = canvas.getContext("2d"), picture = context.createImageData(canvas.width, canvas.height);
  const warped = [h, v].map((component) => plane(component, axis, at, h, v, width, height));
  const onLine = (f, x, y) => {
    const value = f(x, y), away = Math.abs(value - 6 * Math.round(value / 6));
    if (away > 1.2) return false;
    return away < 0.3 * Math.hypot(f(x + 0.5, y) - value, f(x, y + 0.5) - value) * 2 / step;  // as wide everywhere
  };
  for (let row = 0; row < canvas.height; row++) for (let column = 0; column < canvas.width; column++) {
    // The right is on the left, the front on the left, and up is up.
    const x = (canvas.width - 1 - column) / scale, y = (canvas.height - 1 - row) / scale;
    const i = Math.min(width - 1, Math.round(x)), j = Math.min(height - 1, Math.round(y));
    const hu = state.images.fixed[at * stride[axis] + i * stride[h] + j * stride[v]] * 1800 / 255 - 400;
    const grey = Math.max(0, Math.min(200, (hu + 200) / 1200 * 200));
    const place = (row * canvas.width + column) * 4;
    const line = warped.some((f) => onLine(f, x, y));
    picture.data.set(line ? [255, 214, 60, 255] : [grey, grey, grey, 255], place);
  }
  context.putImageData(picture, 0, 0);
}

// The coordinate x + u(x), in mm from the grid's first voxel, of the places of one plane; bilinear between samples.
function plane(component, axis, at, h, v, width, height) {
  const { shape, step: coarse, unit, data } = state.field, step = state.grid.step;
  const strides = [1, shape[0], shape[0] * shape[1]], count = shape[0] * shape[1] * shape[2];
  const through = Math.min(shape[axis] - 1, Math.round(at * step / coarse));
  const value = (i, j) => data[component * count + through * strides[axis] + Math.min(shape[h] - 1, i) * strides[h] + Math.min(shape[v] - 1, j) * strides[v]] * unit;
  return (x, y) => {
    const p = x * step / coarse, q = y * step / coarse, i = Math.floor(p), j = Math.floor(q), a = p - i, b = q - j;
    const u = (value(i, j) * (1 - a) + value(i + 1, j) * a) * (1 - b) + (value(i, j + 1) * (1 - a) + value(i + 1, j + 1) * a) * b;
    return (component === h ? x : y) * step + u;
  };
}

globalThis.report = { overlay, jacobian, surface, state, show };
start().catch((error) => {
  document.body.dataset.state = "failed";
  byId("place").textContent = `The pictures cannot be drawn (they need WebGL 2): ${error.message}`;
  console.error(error);
});
