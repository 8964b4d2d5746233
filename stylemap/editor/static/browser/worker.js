// The worker: opens the model, greets the page, passes on what it says and asks.

import { Model } from "./model.js";
import { Session } from "./session.js";
import { Studio } from "./studio.js";
import { VERSION } from "../protocol.js";

const page = /** @type {any} */ (self);
const send = (data, transfer = []) => page.postMessage({ data }, transfer);

const opening = Model.open(new URL("../../", import.meta.url)).then((model) => new Session(new Studio(model), send));

async function connect() {
  try {
    const session = await opening;
    session.restart();
    const { about, backend, threads } = session.studio.model;
    send(JSON.stringify({ type: "hello", session: "browser", resumed: false, protocol: VERSION, model: { ...about, backend, threads } }));
  } catch (error) {
    send(JSON.stringify({ type: "notice", message: `The model cannot run in this browser: ${error.message}` }));
  }
}

page.onmessage = async ({ data }) => {
  if (data.connect) return connect();
  const session = await opening;
  if (data.message !== undefined) return session.apply(data.message);
  const { question, method, path, body } = data;
  page.postMessage({ question, ...(await session.ask(method, path, body)) });
};
