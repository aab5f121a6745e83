// Chance that can be had again: the seed is printed with every failure.

/** @param {number} seed */
export function random(seed) {
  let state = seed >>> 0;
  // mulberry32: small, and good enough to choose among six people.
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return {
    next,
    below: (limit) => Math.floor(next() * limit),
    pick: (things) => things[Math.floor(next() * things.length)],
  };
}
