/** What a rollout is planned with. */
export const IMAGE_OPTIONS = {
  image: { value: "image", summary: "Another image than the one that the fleet follows", completes: "none" },
  back: { value: "image", summary: "Image to go back to; default what the fleet is declared to run", completes: "none" },
  salt: { value: "text", summary: "Another order of the same release", completes: "none" },
} as const;

export const imageOptions = (
  fleet: string | undefined,
  { image, back, salt }: { readonly image: string | undefined; readonly back: string | undefined; readonly salt: string | undefined },
) => ({
  ...(fleet === undefined ? {} : { fleet }),
  ...(image === undefined ? {} : { image }),
  ...(back === undefined ? {} : { back }),
  ...(salt === undefined ? {} : { salt }),
});
