// Where the system under test is, as the environment says.

const list = (text) => text.split(",").map((address) => address.trim().replace(/\/$/, "")).filter(Boolean);

/** Two replicas, addressed directly: what crosses from one to the other has crossed the bus. */
export const REPLICAS = list(process.env.REPLICAS ?? "http://127.0.0.1:3001,http://127.0.0.1:3002");

/** The balancer in front of them, if there is one. */
export const BALANCER = process.env.BALANCER ? list(process.env.BALANCER)[0] : undefined;

/** A replica whose access tokens expire within seconds, if there is one. */
export const SHORT_TTL_REPLICA = process.env.SHORT_TTL_REPLICA ? list(process.env.SHORT_TTL_REPLICA)[0] : undefined;

/** The minutes-long variants run only when asked for. */
export const HEAVY = process.env.HEAVY === "1";

/** What the servers' own RATE_LIMITS says, so far as whoever started them told us. */
export const RATE_LIMITS = process.env.RATE_LIMITS !== "off";

/**
 * @param {number | string} where an index into REPLICAS (any number: they take turns), or an address
 * @returns {string}
 */
export function addressOf(where) {
  return typeof where === "string" ? where : REPLICAS[where % REPLICAS.length];
}
