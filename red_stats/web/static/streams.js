// A stream of server-sent events, read with the key of this tab, and asked for again whenever it ends.
import { Problem, request } from "./api.js";

const SILENT_MS = 20_000; // the server says something every 15 s
const AGAIN_SECONDS = 1;

// Every event of a stream as {id, data}, until it ends or has been silent for too long.
async function* eventsOf(body, giveUp) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  while (true) {
    const silent = setTimeout(giveUp, SILENT_MS);
    const { value, done } = await reader.read().catch(() => ({ done: true })).finally(() => clearTimeout(silent));
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const field = (name) => event.split("\n").find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      const data = field("data");
      if (data) yield { id: field("id"), data: JSON.parse(data) };
    }
  }
}

// How many seconds to wait before the stream is asked for again, once it has ended and that is told.
const read = async (stream, stopping, place) => {
  const silence = new AbortController();
  let [why, again] = [`This page cannot show the ${stream.name}: load it again.`, AGAIN_SECONDS];
  try {
    const headers = place.last ? { "Last-Event-ID": place.last } : {};
    const answer = await request(stream.address, { headers, signal: AbortSignal.any([stopping, silence.signal]) });
    place.last ??= answer.headers.get("Red-Position");
    await stream.opened?.();
    for await (const { id, data } of eventsOf(answer.body, () => silence.abort())) {
      stream.show(data);
      place.last = id ?? place.last;
    }
    why = `The stream of ${stream.name} has ended; asking again.`;
  } catch (error) {
    if (!(error instanceof Problem || error.name === "AbortError")) throw error;
    [why, again] = [error.message, error.rest?.retryAfter ?? again];
    if (error.code === "position_gone") place.last = null;
  } finally {
    silence.abort();
    if (!stopping.aborted) stream.lost(why);
  }
  return again;
};

// Follows {address, name: of what, show(data), lost(why), opened()} until `stopping`, behind the last event that it had.
// Nothing is shown before what `opened` returns is there.
export const follow = async (stream, stopping) => {
  const place = { last: null };
  while (!stopping.aborted) {
    const again = await read(stream, stopping, place);
    await new Promise((resolve) => setTimeout(resolve, again * 1000));
  }
};
