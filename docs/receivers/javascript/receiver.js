// Takes webhooks at PORT and prints each alert once. RED_WEBHOOK_SECRET is the subscription's secret.
import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.env.RED_WEBHOOK_SECRET);
const seen = new Set(); // in a service: a unique column of the database that the work writes to

function act({ type, data }) {
  if (type === "red.alert") {
    console.log(`alert ${data.seq}: image ${data.image_id} has ${(100 * data.red).toFixed(2)}% red`);
  } else if (type === "red.digest") {
    console.log(`alerts ${data.first_seq} to ${data.last_seq}: up to ${(100 * data.max_red).toFixed(2)}% red`);
  }
}

async function take(request) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  let event;
  try {
    event = webhook.verify(Buffer.concat(pieces), request.headers); // the bytes as they came
  } catch {
    return 400;
  }
  const id = request.headers["webhook-id"];
  if (!seen.has(id)) {
    seen.add(id);
    setImmediate(act, event); // after the answer
  }
  return 204;
}

createServer(async (request, response) => {
  const status = await take(request).catch(() => 400);
  response.writeHead(status).end();
}).listen(process.env.PORT ?? 3000, "127.0.0.1");
