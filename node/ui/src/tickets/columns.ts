/** The columns of the wide list and their widths; the narrow list has cards of two lines instead. */
export type Column = 'number' | 'title' | 'status' | 'priority' | 'requester' | 'assignee' | 'site' | 'updated';

const ALL: { name: Column; size: string; from: number }[] = [
  { name: 'number', size: '92px', from: 0 },
  { name: 'title', size: 'minmax(0, 1fr)', from: 0 },
  { name: 'status', size: '116px', from: 0 },
  { name: 'priority', size: '72px', from: 0 },
  { name: 'requester', size: '148px', from: 1120 },
  { name: 'assignee', size: '156px', from: 0 },
  { name: 'site', size: '84px', from: 980 },
  { name: 'updated', size: '88px', from: 0 },
];

export function columns(width: number): { name: Column; size: string }[] {
  return ALL.filter((column) => width >= column.from);
}
