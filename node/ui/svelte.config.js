/** Runes everywhere: a component that forgets one is an error, not a surprise. */
export default { compilerOptions: { runes: true } };
