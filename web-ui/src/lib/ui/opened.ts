/** Looks now, and whenever somebody comes back to the page; answers how to stop. */
export function whenOpened(look: () => void): () => void {
  const seen = () => {
    if (document.visibilityState === 'visible') look();
  };
  look();
  document.addEventListener('visibilitychange', seen);
  return () => document.removeEventListener('visibilitychange', seen);
}
