/** A part of the tree that our foundation and mmdebstrap's, of the same packages, may have differently. */
export interface TreeDifference {
  /** Matches absolute image paths. */
  readonly path: RegExp;
  readonly reason: string;
}

/**
 * Everything in which the own installer's foundation may differ from mmdebstrap's. A test compares both trees (type, owner,
 * mode, content, links) and allows nothing else. Files that the normaliser takes out of every diff are here too.
 */
export const MMDEBSTRAP_DIFFERENCES: readonly TreeDifference[] = [
  {
    path: /^\/var\/(lib\/apt\/lists|cache\/apt\/archives)\/(lock|partial)$/,
    reason: "mmdebstrap runs apt on the tree, which takes its folders over for the user _apt; ours has never seen apt",
  },
  {
    path: /^\/var\/cache\/debconf\/(config|templates)\.dat-old$/,
    reason: "debconf's backup of the last but one state depends on the order of configuration; removed from every diff",
  },
  { path: /^\/var\/lib\/dpkg\/(status|diversions|statoverride)-old$/, reason: "dpkg's backup, likewise; removed from every diff" },
  { path: /^\/var\/lib\/dpkg\/lock-frontend$/, reason: "apt's lock file; removed from every diff" },
  { path: /^\/var\/cache\/ldconfig\/aux-cache$/, reason: "mmdebstrap removes ldconfig's cache of inode numbers; here the normaliser does" },
  {
    path: /^\/var\/log\/(alternatives|dpkg|bootstrap)\.log$/,
    reason: "mmdebstrap removes or writes logs; here the normaliser removes them",
  },
  { path: /^\/run\/lock$/, reason: "base-files' script makes it in /run, which is a tmpfs in our sandbox, as on any machine" },
];
