/** What the stage server tells about the three sites it runs. */
export interface StageSite {
  code: string;
  name: string;
  url: string;
  frame: string | null;
  running: boolean;
  alone_since?: string | null;
  to_send: number;
  to_receive: number;
  tickets: number;
  digest: string;
}
export interface Cable { a: string; b: string; up: boolean }
export interface Script { running: boolean; step?: string | null; log: { at: string; text: string }[] }
export interface StageState {
  sites: StageSite[];
  links: Cable[];
  agree: boolean;
  script: Script;
  login: { login: string; password: string } | null;
}
