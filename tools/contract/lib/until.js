// Waiting for something, and saying what did not come.

import { setTimeout as pause } from "node:timers/promises";

/** How long anything may take that has no deadline of its own in the contract: two busy cores, not a promise. */
export const PATIENCE = 8_000;

/**
 * @template T
 * @param {() => T | Promise<T>} condition something truthy when it has come
 * @param {number} ms
 * @param {string | (() => string)} what was expected, and (as a function) what came instead
 * @returns {Promise<T>} what the condition found
 */
export async function until(condition, ms, what) {
  const deadline = performance.now() + ms;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (performance.now() > deadline) {
      throw new Error(`within ${ms} ms: ${typeof what === "function" ? what() : what}`);
    }
    await pause(10);
  }
}

/**
 * Leave time for something that must not come. Nobody can wait for nothing, so callers first wait for something that was sent
 * later wherever there is such a thing, and are quiet only for what may take another way.
 * @param {number} ms
 */
export const quiet = (ms = 400) => pause(ms);

export { pause };

/**
 * @template T
 * @param {Promise<T>} promise
 * @param {number} ms
 * @param {string} what was expected
 * @returns {Promise<T>}
 */
export function within(promise, ms, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`within ${ms} ms: ${what}`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/**
 * Begin one thing after another, so many in a second, because the limits of the contract are on. Whoever is late does not catch up:
 * that would be too many at once.
 * @template T
 * @param {number} perSecond
 * @param {Iterable<any>} things
 * @param {(thing: any, index: number) => Promise<T>} act
 * @returns {Promise<T[]>}
 */
export function paced(perSecond, things, act) {
  const gap = 1_000 / perSecond;
  const going = async () => {
    const results = [];
    let due = performance.now();
    let index = 0;
    for (const thing of things) {
      const now = performance.now();
      if (due > now) await pause(due - now);
      results.push(guarded(act(thing, index)));
      index += 1;
      due = Math.max(due + gap, performance.now() + gap * 0.9);
    }
    return Promise.all(results);
  };
  return guarded(going());
}

/** A promise that somebody will await later: until then its failure is nobody's business, and not the end of the process. */
function guarded(promise) {
  promise.catch(() => undefined);
  return promise;
}

/** As short as an assertion message can bear. */
export function show(value, length = 400) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  if (text === undefined) return "nothing";
  return text.length > length ? `${text.slice(0, length)}… (${text.length} characters)` : text;
}
