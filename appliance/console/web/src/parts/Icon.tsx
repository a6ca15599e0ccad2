// The console's own icons: 20 by 20, strokes of 1.5.
const paths: { [name: string]: string } = {
  live: "M2.5 10h3l2-5.5 4 11 2.5-7 1 1.5h2.5",
  trends: "M3 3v14h14M6 13l3.5-4 3 2.5L17 6",
  funnel: "M3 4h14M5.5 8.5h9M7.5 13h5M9 17h2",
  people: "M7 9.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM1.8 16.5c.3-3 2.4-4.5 5.2-4.500s4.9 1.5 5.2 4.500M13 3.800a3 3 0 0 1 0 5.500M14.5 12.300c2.2.5 3.5 1.9 3.7 4.2",
  segment: "M10 2.500a7.5 7.5 0 1 0 7.5 7.500H10V2.500ZM13 2.700A7.5 7.5 0 0 1 17.3 7H13V2.700Z",
  campaign: "M3 8v4h2.500L13 16V4L5.5 8H3ZM15.5 7.500c1.3 1.3 1.3 3.7 0 5M6 12.2 7 17h2l-.8-3.8",
  connector: "M7 2.500v4M13 2.500v4M5 6.500h10v3a5 5 0 0 1-10 0v-3ZM10 14.500v3",
  incoming: "M3 3.500v13M17 10H7M10.5 6.500 7 10l3.5 3.5",
  developers: "M7 6l-4 4 4 4M13 6l4 4-4 4M11.300 4.500l-2.600 11",
  mailbox: "M2.5 5h15v10.500h-15V5ZM3 5.500l7 6 7-6",
  health: "M10 17S3 12.8 3 7.800A3.8 3.8 0 0 1 10 5.700a3.8 3.8 0 0 1 7 2.100C17 12.8 10 17 10 17ZM5.5 10H8l1.2-2.200L11 12l1-2h2.5",
  settings: "M3 6h8M15 6h2M3 14h2M9 14h8M13 4v4M7 12v4",
  plus: "M10 4v12M4 10h12",
  close: "M5 5l10 10M15 5 5 15",
  check: "M4 10.5 8.2 15 16 5.5",
  down: "M5 8l5 5 5-5",
  right: "M8 5l5 5-5 5",
  left: "M12 5l-5 5 5 5",
  search: "M9 14.500a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11ZM13 13l4 4",
  copy: "M7 7V3.500h9.500V13H13M3.5 7H13v9.500H3.500V7Z",
  trash: "M3.5 5.500h13M8 5.500v-2h4v2M5.5 5.500l.8 11h7.400l.8-11M8.5 8.500v5M11.5 8.500v5",
  menu: "M3 5.500h14M3 10h14M3 14.500h14",
  sun: "M10 13.500a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7ZM10 2v1.500M10 16.500V18M2 10h1.500M16.5 10H18M4.3 4.300l1.1 1.100M14.6 14.600l1.1 1.100M15.7 4.300l-1.1 1.100M5.4 14.600l-1.1 1.1",
  moon: "M16.5 12A7 7 0 0 1 8 3.5 7 7 0 1 0 16.5 12Z",
  screen: "M3 4h14v9H3V4ZM7.5 16.500h5M10 13v3.5",
  warn: "M10 3 2.5 16.500h15L10 3ZM10 8v4M10 14v.5",
  info: "M10 17.500a7.5 7.5 0 1 0 0-15 7.5 7.5 0 0 0 0 15ZM10 9v5M10 6.200v.5",
  play: "M6 4v12l10-6L6 4Z",
  pause: "M6.5 4v12M13.5 4v12",
  stop: "M5 5h10v10H5V5Z",
  edit: "M4 16l.8-3.500L13.5 4 16 6.5 7.5 15.2 4 16ZM11.5 6 14 8.5",
  link: "M8.5 11.500a3 3 0 0 0 4.3 0l3-3a3 3 0 0 0-4.3-4.300l-1 1M11.5 8.500a3 3 0 0 0-4.3 0l-3 3a3 3 0 0 0 4.3 4.300l1-1",
  table: "M3 4h14v12H3V4ZM3 8h14M3 12h14M8.5 8v8",
  person: "M10 9.500a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7ZM3.5 17.500c.4-3.7 2.9-5.5 6.5-5.500s6.1 1.8 6.5 5.5",
  out: "M8 3.500H3.500v13H8M12.5 6l4 4-4 4M16.5 10H7.5",
  up: "M5 12l5-5 5 5",
  key: "M12.5 11a4 4 0 1 0-3.8-2.800L3 14v3h3v-2h2v-2h1.500l1-1a4 4 0 0 0 2-1ZM13.5 6.500v.1",
  clock: "M10 17.500a7.5 7.5 0 1 0 0-15 7.5 7.5 0 0 0 0 15ZM10 6v4.200l2.8 1.8",
  reload: "M16.5 10a6.5 6.5 0 1 1-2-4.700M16.5 2.500v3.500H13",
};

export type IconName = keyof typeof paths & string;

export function Icon({ name, size = 18 }: { name: string; size?: number }) {
  return (
    <svg class="icon" width={size} height={size} viewBox="0 0 20 20" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">
      <path d={paths[name] ?? ""} />
    </svg>
  );
}

export function Mark({ size = 28 }: { size?: number }) {
  return (
    <svg class="mark" width={size} height={size} viewBox="0 0 32 32" fill="none" aria-hidden="true" focusable="false">
      <path d="M5.5 27V15a10.5 10.5 0 0 1 21 0v12" stroke="currentColor" stroke-width="2.4" stroke-linecap="round" />
      <path class="mark-lamp" d="M11.5 27V15.500a4.5 4.5 0 0 1 9 0V27" />
    </svg>
  );
}
