import type { NetworkSession } from "../../ports/network-recorder.ts";

/** Where the files of a session appear inside the step; the same each time, since programs may write the names down. */
const FOLDER = "bakehouse/network";
const AUTHORITY = `/run/${FOLDER}/ca.pem`;

export interface EnvironmentOptions {
  readonly port: number;
  readonly certificate: string;
  /** A recording is used long after the dates in it have passed. */
  readonly ignoreDates: boolean;
}

/** What makes the usual programs use the proxy and trust it: curl, wget, apt, pip, npm, git, Node, Python, Go, Cargo. */
export function stepEnvironment({ port, certificate, ignoreDates }: EnvironmentOptions): NetworkSession {
  const proxy = `http://127.0.0.1:${port}`;
  const local = "localhost,127.0.0.1,::1";
  const authority = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "npm_config_cafile",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
  ];
  return {
    environment: {
      ...Object.fromEntries(["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"].map((name) => [name, proxy])),
      no_proxy: local,
      NO_PROXY: local,
      NODE_USE_ENV_PROXY: "1",
      ...Object.fromEntries(authority.map((name) => [name, AUTHORITY])),
      APT_CONFIG: `/run/${FOLDER}/apt.conf`,
      WGETRC: `/run/${FOLDER}/wgetrc`,
      // requests that are not about what was asked for, and that send data
      PIP_DISABLE_PIP_VERSION_CHECK: "1",
      npm_config_audit: "false",
      npm_config_fund: "false",
      npm_config_update_notifier: "false",
    },
    memoryFiles: [
      { path: `${FOLDER}/ca.pem`, content: certificate, mode: 0o444 },
      { path: `${FOLDER}/apt.conf`, content: aptConfiguration(proxy, ignoreDates), mode: 0o444 },
      { path: `${FOLDER}/wgetrc`, content: `ca_certificate = ${AUTHORITY}\n`, mode: 0o444 },
    ],
  };
}

const aptConfiguration = (proxy: string, ignoreDates: boolean): string =>
  [
    `Acquire::http::Proxy "${proxy}/";`,
    `Acquire::https::Proxy "${proxy}/";`,
    `Acquire::https::CaInfo "${AUTHORITY}";`,
    'Acquire::Languages "none";', // translated descriptions would be recorded for nobody to read
    'Acquire::PDiffs "false";',
    ...(ignoreDates ? ['Acquire::Check-Valid-Until "false";', 'Acquire::Check-Date "false";'] : []),
    "",
  ].join("\n");
