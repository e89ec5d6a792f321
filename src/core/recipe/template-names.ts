/** Names of the templates of `bakehouse init`; a test compares them with `TEMPLATES`. Apart, so that the help need not load the recipes. */
export const TEMPLATE_NAMES = ["web", "java", "ansible", "empty"] as const;
