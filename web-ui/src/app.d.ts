// The app keeps no custom App.* types; this file anchors SvelteKit's ambient ones.
export {};
