import { describe, expect, it } from 'vitest';
import { age, bucket, fingerprint, initials, list, moment, number, plural } from '../src/text/format';
import { firstLanguage } from '../src/text/language';

const now = new Date(2026, 10, 20, 14, 30);
const ago = (minutes: number) => new Date(now.getTime() - minutes * 60_000).toISOString();

describe('times', () => {
  it('show the clock within half a day and the day before that', () => {
    expect(moment('fr', ago(28), now)).toBe('14:02');
    expect(moment('en', ago(28), now)).toBe('14:02');
    expect(moment('en', ago(24 * 60), now)).toBe('19 Nov, 14:30');
    expect(moment('fr', ago(24 * 60), now)).toBe('19 nov., 14:30');
    expect(moment('en', ago(500 * 24 * 60), now)).toContain('2025');
  });

  it('show the clock alone across midnight', () => {
    const early = new Date(2026, 10, 21, 0, 31);
    expect(moment('en', new Date(2026, 10, 20, 23, 49).toISOString(), early)).toBe('23:49');
  });

  it('give back what is no time', () => {
    expect(moment('en', 'soon', now)).toBe('soon');
    expect(age('fr', '', now)).toBe('');
  });

  it('are short in columns', () => {
    expect(age('en', ago(0), now)).toBe('just now');
    expect(age('fr', ago(5), now)).toBe('5\u00a0min');
    expect(age('fr', ago(190), now)).toBe('3\u00a0h');
    expect(age('en', ago(3 * 24 * 60), now)).toBe('17 Nov');
  });
});

describe('words', () => {
  it('know that zero is plural in English and singular in French', () => {
    expect(plural('en', 0, 'ticket', 'tickets')).toBe('tickets');
    expect(plural('fr', 0, 'ticket', 'tickets')).toBe('ticket');
    expect(plural('fr', 2, 'ticket', 'tickets')).toBe('tickets');
  });

  it('group thousands and join names as the language does', () => {
    expect(number('en', 12345)).toBe('12,345');
    expect(number('fr', 12345).replace(/\s/gu, ' ')).toBe('12 345');
    expect(list('fr', ['Dakar', 'Montréal'])).toBe('Dakar et Montréal');
  });

  it('make initials from any name', () => {
    expect(initials('Ève-Marie Côté')).toBe('ÈC');
    expect(initials('admin')).toBe('A');
    expect(initials('')).toBe('?');
  });

  it('shorten fingerprints, and keep a person’s colour', () => {
    expect(fingerprint('a3f109bc44de')).toBe('a3f1 09bc');
    expect(fingerprint('')).toBe('');
    expect(bucket('abc', 6)).toBe(bucket('abc', 6));
  });

  it('choose the first language we speak', () => {
    expect(firstLanguage(null, ['de-DE', 'fr-CA', 'en'])).toBe('fr');
    expect(firstLanguage('en', ['fr'])).toBe('en');
    expect(firstLanguage('xx', [])).toBe('en');
  });
});
