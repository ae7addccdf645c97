// A line chart over time (uPlot), in the page's colours, with a sentence for those who do not see it.
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';

export interface Line {
  label: string;
  values: (number | null)[];
  dash?: number[];
}

interface Props {
  seconds: number[]; // Unix time
  lines: Line[];
  unit: string;
  summary: string;
}

const kColours = ['--accent', '--warn', '--good', '--bad'];

export function Chart({ seconds, lines, unit, summary }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>();
  const shape = lines.map((l) => l.label).join('|');

  useEffect(() => {
    const element = host.current!;
    const colour = (name: string) => getComputedStyle(element).getPropertyValue(name).trim();
    const axis = { stroke: colour('--soft'), grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false } };
    plot.current = new uPlot(
      {
        width: element.clientWidth,
        height: 220,
        cursor: { y: false },
        axes: [axis, { ...axis, size: 56, values: (_, splits) => splits.map((v) => `${v} ${unit}`) }],
        scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), Math.max(1, (high ?? 1) * 1.15)] } },
        series: [
          {},
          ...lines.map((line, i) => ({
            label: line.label,
            stroke: colour(kColours[i % kColours.length]),
            width: 2,
            dash: line.dash,
            spanGaps: false,
            points: { show: false },
            value: (_: uPlot, v: number | null, __: number, at: number | null) => (at === null ? '–' : v === null ? 'dead' : `${v.toFixed(2)} ${unit}`),
          })),
        ],
      },
      [seconds, ...lines.map((l) => l.values)],
      element,
    );
    const resize = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: 220 }));
    resize.observe(element);
    return () => {
      resize.disconnect();
      plot.current?.destroy();
    };
  }, [shape, unit]);

  useEffect(() => plot.current?.setData([seconds, ...lines.map((l) => l.values)]), [seconds]);

  return <div class="chart" ref={host} role="img" aria-label={summary} />;
}
