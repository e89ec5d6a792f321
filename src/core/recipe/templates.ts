/** A recipe that `bakehouse init` can start from; the files lie in `templates/<name>/` of the package. */
export interface RecipeTemplate {
  readonly name: string;
  /** One line for `init --list` and for the question on a terminal. */
  readonly summary: string;
  /** Every file of the template, relative to its folder; the recipe first. */
  readonly files: readonly string[];
  /** What to look at or change first. */
  readonly next: readonly string[];
}

export const RECIPE_FILE = "bakehouse.yaml";

export const TEMPLATES: readonly RecipeTemplate[] = [
  {
    name: "web",
    summary: "nginx with a site; the site is a release volume",
    files: [RECIPE_FILE, "nginx/site.conf", "site/index.html", "site/version"],
    next: ["put your pages into site/"],
  },
  {
    name: "java",
    summary: "Debian's Tomcat with a web application",
    files: [RECIPE_FILE, "app/WEB-INF/web.xml", "app/index.jsp", "tomcat/ROOT.xml"],
    next: ["put your unpacked .war into app/"],
  },
  {
    name: "ansible",
    summary: "A base made by an Ansible playbook with a role",
    files: [
      RECIPE_FILE,
      "ansible/roles/hardening/defaults/main.yml",
      "ansible/roles/hardening/tasks/main.yml",
      "ansible/roles/hardening/templates/sshd.conf.j2",
      "ansible/site.yml",
    ],
    next: ["put your roles into ansible/roles/ and name them in ansible/site.yml"],
  },
  {
    name: "empty",
    summary: "A foundation and one layer, with hints for the rest",
    files: [RECIPE_FILE],
    next: ["add steps under layers.base.steps"],
  },
];

/** The text of a template's recipe under the name of the new project. */
export const nameRecipe = (text: string, name: string): string => text.replace(/^name: .*$/m, () => `name: ${name}`);

/**
 * A recipe's name from that of a folder: `My Shop (2)` → `my-shop-2`.
 *
 * @returns `image` when nothing of the name can stand in one
 */
export function nameFromFolder(folder: string): string {
  const words = folder
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== "");
  const name = words
    .join("-")
    .replace(/^[0-9-]+/, "")
    .slice(0, 64)
    .replace(/-$/, "");
  return name === "" ? "image" : name;
}
