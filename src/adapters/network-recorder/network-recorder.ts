import type { NetworkRecorder, NetworkRequest, NetworkSession } from "../../ports/network-recorder.ts";
import { createAddresses } from "./addresses.ts";
import { bodyStore } from "./body-store.ts";
import { createAuthority } from "./certificates.ts";
import { fetchMissing } from "./fetch-missing.ts";
import { listenInNamespace } from "./listen-in-namespace.ts";
import { startProxy, type ProxyHandlers } from "./proxy.ts";
import { Recording } from "./record.ts";
import { Replay } from "./replay.ts";
import { stepEnvironment } from "./step-environment.ts";
import { createUpstream } from "./upstream.ts";

export interface NetworkRecorderOptions {
  /** The store's `recorded/`. */
  readonly folder: string;
  /** Authorities of a network of one's own, PEM; those that the host trusts are trusted anyway. */
  readonly trust?: readonly string[];
}

/** The same in every step, so that a program that writes its environment down writes the same each time. */
const PORT = 3128;

/** A proxy of this process that listens in the step's network namespace, which has no other way out. */
export function networkRecorder({ folder, trust = [] }: NetworkRecorderOptions): NetworkRecorder {
  const bodies = bodyStore(folder);
  return {
    record: async (request) => {
      const upstream = createUpstream(trust);
      const recording = new Recording({ request, addresses: createAddresses(request.mirrors), bodies, upstream });
      const session = await open(request, (asked, response) => recording.answer(asked, response), false);
      return {
        ...session.network,
        close: async () => {
          await recording.settle();
          await session.close();
          upstream.close();
          return recording.finish();
        },
      };
    },
    replay: async (request, responses) => {
      const addresses = createAddresses(request.mirrors);
      await fetchMissing({ request, addresses, bodies, responses, trust });
      const replay = new Replay({ request, addresses, bodies, responses });
      const session = await open(request, (asked, response) => replay.answer(asked, response), true);
      return {
        ...session.network,
        close: async () => {
          await session.close();
          replay.finish();
        },
      };
    },
  };
}

async function open(
  request: NetworkRequest,
  onRequest: ProxyHandlers["onRequest"],
  ignoreDates: boolean,
): Promise<{ readonly network: NetworkSession; close(): Promise<void> }> {
  const { server, port } = await listenInNamespace(request.namespacePid, request.namespacePid === undefined ? 0 : PORT);
  const authority = createAuthority();
  const proxy = startProxy(server, authority, {
    onRequest: async (asked, response) => {
      try {
        await onRequest(asked, response);
      } catch (error) {
        request.log(`network: ${asked.method} ${asked.url.host}: ${String(error)}`);
        response.destroy();
      }
    },
    onTunnelError: (target, error) =>
      request.log(
        `network: the TLS connection to ${target} broke off: ${error.message}; a program that does not trust the step's own authority (SSL_CERT_FILE) cannot be recorded`,
      ),
  });
  return { network: stepEnvironment({ port, certificate: authority.certificate, ignoreDates }), close: () => proxy.close() };
}
