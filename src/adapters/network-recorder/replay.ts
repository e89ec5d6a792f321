import type { ServerResponse } from "node:http";
import { BakehouseError } from "../../core/errors.ts";
import type { RecordedResponse } from "../../core/lock/model.ts";
import type { NetworkRequest } from "../../ports/network-recorder.ts";
import type { Addresses } from "./addresses.ts";
import type { BodyStore } from "./body-store.ts";
import { refuse, type ProxyRequest } from "./proxy.ts";
import { list } from "./record.ts";
import { serveRecorded } from "./serve-recorded.ts";

/** Answers from the lock and from nothing else. */
export class Replay {
  private readonly request: NetworkRequest;
  private readonly addresses: Addresses;
  private readonly bodies: BodyStore;
  private readonly answers: ReadonlyMap<string, RecordedResponse>;
  private readonly refused = new Set<string>();
  private readonly damaged = new Set<string>();
  private readonly verified = new Map<string, Promise<boolean>>();

  constructor(parts: {
    readonly request: NetworkRequest;
    readonly addresses: Addresses;
    readonly bodies: BodyStore;
    readonly responses: readonly RecordedResponse[];
  }) {
    this.request = parts.request;
    this.addresses = parts.addresses;
    this.bodies = parts.bodies;
    this.answers = new Map(parts.responses.map((recorded) => [`${recorded.method} ${recorded.url}`, recorded]));
  }

  async answer(request: ProxyRequest, response: ServerResponse): Promise<void> {
    const url = this.addresses.lockUrl(request.url);
    // What a HEAD says, a recorded GET knows as well.
    const recorded =
      this.answers.get(`${request.method} ${url}`) ?? (request.method === "HEAD" ? this.answers.get(`GET ${url}`) : undefined);
    if (recorded === undefined) return this.refuse(request, response, url);
    if (!(await this.isWhole(recorded))) {
      this.damaged.add(recorded.url);
      return refuse(response, 502, `bakehouse: the recording of ${url} is damaged\n`);
    }
    await serveRecorded(request, response, recorded, this.bodies.path(recorded.sha256));
  }

  private refuse(request: ProxyRequest, response: ServerResponse, url: string): void {
    const asked = `${request.method} ${url}`;
    if (!this.refused.has(asked)) this.request.log(`network: refused ${asked}: it is not in the recording`);
    this.refused.add(asked);
    refuse(response, 502, `bakehouse: not in the recording: ${asked}\n`);
  }

  private isWhole(recorded: RecordedResponse): Promise<boolean> {
    const known = this.verified.get(recorded.sha256) ?? this.bodies.verify(recorded.sha256).catch(() => false);
    this.verified.set(recorded.sha256, known);
    return known;
  }

  /** @throws see ReplaySession.close */
  finish(): void {
    const { address } = this.request;
    if (this.damaged.size > 0) {
      throw new BakehouseError("DIGEST_MISMATCH", `${address}: the store holds other bytes than the lock names for:${list(this.damaged)}`, {
        hint: `bakehouse lock --update --package ${address}, to record them anew`,
        details: { step: address, damaged: [...this.damaged] },
      });
    }
    if (this.refused.size === 0) return;
    throw new BakehouseError("NETWORK_REFUSED", `${address}: asked for what the lock has not recorded:${list(this.refused)}`, {
      hint: `bakehouse lock --update --package ${address}, to record what the step asks for now; what it asks for must not change from run to run`,
      details: { step: address, refused: [...this.refused] },
    });
  }
}
