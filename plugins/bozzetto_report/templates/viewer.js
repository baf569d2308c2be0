// Turns the object in #viewer, whose GLB is the base64 text of #object. Needs three.js with its loader of glTF.
"use strict";
(function () {
  const box = document.getElementById("viewer"), note = document.getElementById("viewer-note");
  const text = atob(document.getElementById("object").textContent.trim());
  const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  document.getElementById("save").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytes], { type: "model/gltf-binary" }));
    link.download = "mesh.glb";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
  let renderer;
  try {
    renderer = new THREE.WebGLRenderer({ antialias: true, alpha: true });
  } catch (error) {
    note.textContent = "This browser shows no 3D here (WebGL is off); the object can be saved and opened elsewhere.";
    return;
  }
  renderer.outputEncoding = THREE.sRGBEncoding;
  renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
  box.appendChild(renderer.domElement);
  const scene = new THREE.Scene(), camera = new THREE.PerspectiveCamera(40, 1, 0.01, 1000);
  const light = new THREE.DirectionalLight(0xffffff, 0.6);
  scene.add(camera, new THREE.AmbientLight(0xffffff, 0.55));
  camera.add(light);
  light.position.set(0.5, 0.8, 1);

  const view = { azimuth: 0, elevation: 15, distance: 3, radius: 1 };
  let turning = !window.matchMedia("(prefers-reduced-motion: reduce)").matches, before = 0, waiting = false;
  const center = new THREE.Vector3();

  function draw(now) {
    waiting = false;
    if (turning && before) view.azimuth += Math.min(now - before, 100) * 0.02;
    before = turning ? now : 0;
    const azimuth = THREE.MathUtils.degToRad(view.azimuth), elevation = THREE.MathUtils.degToRad(view.elevation);
    const away = new THREE.Vector3(
      Math.cos(elevation) * Math.sin(azimuth), Math.sin(elevation), Math.cos(elevation) * Math.cos(azimuth)
    );
    camera.position.copy(center).addScaledVector(away, view.distance);
    camera.lookAt(center);
    renderer.render(scene, camera);
    if (turning) wait();
  }
  function wait() {
    if (!waiting) requestAnimationFrame(draw);
    waiting = true;
  }
  function fit() {
    const width = box.clientWidth, height = box.clientHeight;
    renderer.setSize(width, height);
    camera.aspect = width / height;
    camera.updateProjectionMatrix();
    wait();
  }
  function turn(azimuth, elevation) {
    turning = false;
    view.azimuth += azimuth;
    view.elevation = Math.max(-89, Math.min(89, view.elevation + elevation));
    wait();
  }
  function zoom(factor) {
    turning = false;
    view.distance = Math.max(0.3 * view.radius, Math.min(20 * view.radius, view.distance * factor));
    wait();
  }

  const pointers = new Map();
  const spread = () => {
    const [one, two] = [...pointers.values()];
    return Math.hypot(one.x - two.x, one.y - two.y);
  };
  box.addEventListener("pointerdown", (event) => {
    if (event.target !== renderer.domElement) return;
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    box.setPointerCapture(event.pointerId);
  });
  box.addEventListener("pointermove", (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    const wide = pointers.size === 2 ? spread() : 0;
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (wide) zoom(wide / Math.max(spread(), 1));
    else turn((last.x - event.clientX) * 0.5, (event.clientY - last.y) * 0.5);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    box.addEventListener(name, (event) => pointers.delete(event.pointerId));
  }
  box.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(event.deltaY * 0.001));
  }, { passive: false });
  box.addEventListener("keydown", (event) => {
    const keys = {
      ArrowLeft: () => turn(-10, 0), ArrowRight: () => turn(10, 0), ArrowUp: () => turn(0, 10),
      ArrowDown: () => turn(0, -10), "+": () => zoom(0.9), "-": () => zoom(1.1),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  window.addEventListener("resize", fit);

  new THREE.GLTFLoader().parse(bytes.buffer, "", (loaded) => {
    const meshes = [];
    loaded.scene.traverse((part) => { if (part.isMesh) meshes.push([part, part.material]); });
    scene.add(loaded.scene);
    const sphere = new THREE.Box3().setFromObject(loaded.scene).getBoundingSphere(new THREE.Sphere());
    center.copy(sphere.center);
    view.radius = sphere.radius || 1;
    view.distance = view.radius / Math.sin(THREE.MathUtils.degToRad(20));
    camera.near = view.radius / 100;
    camera.far = view.radius * 50;
    const clay = new THREE.MeshStandardMaterial({ color: 0x909090, roughness: 0.9 });
    const made = {
      lit: (own) => own,
      colour: (own) => new THREE.MeshBasicMaterial({ map: own.map, color: own.color, vertexColors: own.vertexColors }),
      shape: () => clay,
      edges: () => new THREE.MeshBasicMaterial({ color: 0x64748b, wireframe: true }),
    };
    for (const choice of document.getElementsByName("show")) {
      choice.addEventListener("change", () => {
        for (const [mesh, own] of meshes) mesh.material = made[choice.value](own);
        wait();
      });
    }
    note.textContent = "";
    fit();
  }, (error) => { note.textContent = "The object cannot be shown: " + error; });
})();
