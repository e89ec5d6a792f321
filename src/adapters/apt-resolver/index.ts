export { aptResolver, type AptResolverOptions } from "./apt-resolver.ts";
