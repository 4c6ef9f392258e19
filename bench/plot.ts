/**
 * Plots as SVG, by echarts. Transparent, in colours that can be read on white and on black, because a page that shows them
 * may be either.
 */
import * as echarts from 'echarts'

/** `steps`: each value of x as far from the next, because they begin at 0 and are of different magnitude. */
export type Axis = { readonly name: string; readonly kind: 'linear' | 'log' | 'steps' }
export type Line = {
  readonly name: string
  /** In the order of x; what is not a finite number is left out. */
  readonly points: readonly (readonly [x: number, y: number])[]
}
export type Bars = {
  readonly title: string
  readonly axis: string
  /** From above to below. */
  readonly bars: readonly { readonly name: string; readonly value: number; readonly mark?: number }[]
}

const WIDTH = 720
const LINE_HEIGHT = 380
const BAR_HEIGHT = 24
const MARGIN_HEIGHT = 110
/** 4.5 : 1 on white, 4.2 : 1 on the black of dark pages. */
const TEXT = '#767676'
const FAINT = '#76767640'
const COLOURS = ['#1f8fd6', '#d9730d', '#2da44e', '#a371f7', '#8c8c8c']
const SYMBOLS = ['circle', 'rect', 'triangle', 'diamond', 'roundRect'] as const

const text = { color: TEXT, fontFamily: 'sans-serif' }
const AXIS_TYPES = { linear: 'value', log: 'log', steps: 'category' } as const
const axisOf = ({ name, kind }: Axis) => ({
  type: AXIS_TYPES[kind],
  name,
  nameLocation: 'middle' as const,
  nameTextStyle: text,
  axisLabel: { ...text, hideOverlap: true },
  axisLine: { show: true, lineStyle: { color: TEXT } },
  splitLine: { lineStyle: { color: FAINT } },
})

export function linePlot(title: string, x: Axis, y: Axis, lines: readonly Line[]): string {
  return draw(LINE_HEIGHT, {
    title: { text: title, textStyle: { ...text, fontSize: 14 } },
    legend: { top: 30, textStyle: text },
    grid: { left: 78, right: 24, top: 68, bottom: 48 },
    xAxis: { ...axisOf(x), nameGap: 28, ...(x.kind === 'linear' && { scale: true }) } as object,
    yAxis: { ...axisOf(y), nameGap: 58, ...(y.kind === 'linear' && { min: 0 }) },
    color: COLOURS,
    series: lines.map(({ name, points }, index) => ({
      type: 'line' as const,
      name,
      symbol: SYMBOLS[index % SYMBOLS.length]!,
      symbolSize: points.length > MANY_POINTS ? 0 : 7,
      data: points
        .filter(([, value]) => Number.isFinite(value) && (y.kind !== 'log' || value > 0))
        .map(([at, value]) => [x.kind === 'steps' ? String(at) : at, value]),
    })),
  })
}

/** Points of a line beyond which each has no symbol of its own. */
const MANY_POINTS = 30

/** Bars to the right of 1 are more, to the left less; a mark is drawn where the bar has to reach. */
export function barPlot({ title, axis, bars }: Bars): string {
  return draw(MARGIN_HEIGHT + BAR_HEIGHT * bars.length, {
    title: { text: title, textStyle: { ...text, fontSize: 14 } },
    grid: { left: 310, right: 24, top: 40, bottom: 48 },
    xAxis: { ...axisOf({ name: axis, kind: 'log' }), nameGap: 28 },
    yAxis: {
      type: 'category',
      inverse: true,
      data: bars.map(({ name, value }) => `${name} ${value}x`),
      axisLabel: { ...text, width: 300, overflow: 'truncate', interval: 0 },
      axisLine: { lineStyle: { color: TEXT } },
    },
    color: COLOURS,
    series: [
      {
        type: 'bar',
        data: bars.map(({ value }) => value),
        barWidth: 12,
      },
      {
        type: 'scatter',
        symbol: 'rect',
        symbolSize: [3, 18],
        itemStyle: { color: COLOURS[1]! },
        data: bars.flatMap(({ mark }, index) => (mark === undefined ? [] : [[mark, index]])),
      },
    ],
  })
}

function draw(height: number, option: echarts.EChartsOption): string {
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height })
  try {
    chart.setOption({ animation: false, backgroundColor: 'transparent', ...option })
    return `${chart.renderToSVGString()}\n`
  } finally {
    chart.dispose() // else its timer keeps the process
  }
}
