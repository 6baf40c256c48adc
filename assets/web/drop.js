// Files that are dropped anywhere on the page.

const root = document.documentElement;
/** Calls `given` with the files that are let go over the page, where it `may`; `data-dragging` is set while they hover. */
export function onDrop(given, may = () => true) {
  const holdsFiles = (event) => may() && event.dataTransfer?.types.includes('Files');
  // Each element that is left while dragging tells so, hence the count.
  let depth = 0;
  addEventListener('dragenter', (event) => {
    if (holdsFiles(event) && depth++ === 0) root.dataset.dragging = 'yes';
  });
  addEventListener('dragleave', (event) => {
    if (holdsFiles(event) && --depth === 0) delete root.dataset.dragging;
  });
  addEventListener('dragover', (event) => holdsFiles(event) && event.preventDefault());
  addEventListener('drop', (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    depth = 0;
    delete root.dataset.dragging;
    given([...event.dataTransfer.files]);
  });
}
