// Optional comfort for uploads: progress, and files and folders that are dropped. Without it the form is sent as it is.
"use strict";

(() => {
  const form = document.getElementById("upload");
  if (!form) return;
  // Of one request: so much of the files is in doubt where a connection breaks off.
  const MOST_FILES = 25;
  const MOST_BYTES = 25e6;
  const MOST_TRIES = 5;
  const drop = form.querySelector(".drop");
  const sending = document.getElementById("sending");
  const [said, bar, list] = ["p", "progress", "ul"].map((name) => sending.querySelector(name));
  let dropped = [];

  const named = (file, path) => ({ file, path: path || file.webkitRelativePath || file.name });
  const chosen = () => [...form.querySelectorAll("[type=file]")].flatMap((field) => [...field.files].map((file) => named(file)));

  const batches = (files) => {
    const found = [];
    let bytes = Infinity;
    for (const each of files) {
      if (bytes + each.file.size > MOST_BYTES || found.at(-1).length >= MOST_FILES) {
        found.push([]);
        bytes = 0;
      }
      found.at(-1).push(each);
      bytes += each.file.size;
    }
    return found;
  };

  const show = (path, reason) => {
    const item = document.createElement("li");
    const name = document.createElement("bdi");
    name.className = "id";
    name.textContent = path;
    item.append(name, `: ${reason}`);
    list.append(item);
  };

  const send = (batch, onBytes, tries = 1) =>
    new Promise((resolve, reject) => {
      const data = new FormData();
      data.append("into", form.elements.into.value);
      if (form.elements.replace.checked) data.append("replace", "yes");
      for (const { file, path } of batch) data.append("files", file, path);
      const request = new XMLHttpRequest();
      request.open("POST", form.action);
      request.setRequestHeader("Accept", "application/json");
      request.upload.addEventListener("progress", (event) => onBytes(event.loaded));
      request.upload.addEventListener("load", () => (said.textContent = "The server reads what was sent …"));
      request.addEventListener("load", () => {
        let body = {};
        try {
          body = JSON.parse(request.responseText);
        } catch {
          // A proxy may have answered.
        }
        if (request.status === 200) resolve(body.files);
        else if ([429, 503].includes(request.status) && tries < MOST_TRIES) {
          // Too many are sending at once.
          const seconds = Number(request.getResponseHeader("Retry-After")) || 1;
          setTimeout(() => send(batch, onBytes, tries + 1).then(resolve, reject), 1000 * seconds);
        } else reject(new Error(body.detail || `The server answered ${request.status}.`));
      });
      request.addEventListener("error", () => reject(new Error("The connection broke off.")));
      request.send(data);
    });

  const sendAll = async (files) => {
    const total = files.reduce((sum, { file }) => sum + file.size, 0) || 1;
    let sent = 0;
    let refused = 0;
    sending.hidden = false;
    list.replaceChildren();
    for (const button of form.querySelectorAll("button")) button.disabled = true;
    // A server that refuses by size closes the connection, which tells nobody why.
    const large = files.filter(({ file }) => file.size > form.dataset.most);
    for (const { path } of large) show(path, "larger than the most that is read");
    refused += large.length;
    for (const batch of batches(files.filter((each) => !large.includes(each)))) {
      const size = batch.reduce((sum, { file }) => sum + file.size, 0);
      said.textContent = `Sending ${batch[0].path} …`;
      try {
        const outcomes = await send(batch, (bytes) => (bar.value = Math.min(1, (sent + Math.min(bytes, size)) / total)));
        for (const outcome of outcomes.filter(({ status }) => status === "refused")) {
          show(outcome.id, outcome.reason);
          refused += 1;
        }
      } catch (error) {
        for (const { path } of batch) show(path, "not sent");
        said.textContent = `${error.message} What was sent before is kept.`;
        for (const button of form.querySelectorAll("button")) button.disabled = false;
        return;
      }
      sent += size;
      bar.value = sent / total;
    }
    said.textContent = refused ? `${refused} of ${files.length} were not accepted.` : "All files were accepted.";
    for (const button of form.querySelectorAll("button")) button.disabled = false;
    // What the server refused is on the page of changes, too; what was not sent is only here.
    if (!large.length) location.assign(form.dataset.changes);
  };

  form.addEventListener("submit", (event) => {
    const files = [...chosen(), ...dropped];
    if (!files.length) return;
    event.preventDefault();
    sendAll(files);
  });

  // A folder that is dropped is gone through; what it holds keeps its path.
  const entriesOf = (reader) => new Promise((resolve, reject) => reader.readEntries(resolve, reject));
  const walk = async (entry, above, found) => {
    const path = above ? `${above}/${entry.name}` : entry.name;
    if (entry.isFile) {
      found.push(named(await new Promise((resolve, reject) => entry.file(resolve, reject)), path));
      return;
    }
    const reader = entry.createReader();
    for (let some = await entriesOf(reader); some.length; some = await entriesOf(reader)) {
      for (const each of some) await walk(each, path, found);
    }
  };
  for (const name of ["dragover", "dragenter"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", async (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry && item.webkitGetAsEntry());
    const files = [...event.dataTransfer.files];
    const found = [];
    if (entries.length && entries.every(Boolean)) for (const entry of entries) await walk(entry, "", found);
    else found.push(...files.map((file) => named(file)));
    dropped = [...dropped, ...found];
    sending.hidden = false;
    bar.value = 0;
    said.textContent = `${dropped.length} ${dropped.length === 1 ? "file" : "files"} to upload, by the button above.`;
  });
})();
