// The parts of Apache ECharts that the page uses; echarts.js is made of it, see echarts_README.txt.
import { init, registerMap, use } from 'echarts/core';
import { LineChart, LinesChart, ScatterChart } from 'echarts/charts';
import {
  AriaComponent, GeoComponent, GridComponent, MarkAreaComponent, MarkLineComponent, TooltipComponent,
} from 'echarts/components';
import { LabelLayout } from 'echarts/features';
import { CanvasRenderer } from 'echarts/renderers';

use([
  LineChart, LinesChart, ScatterChart, AriaComponent, GeoComponent, GridComponent, MarkAreaComponent,
  MarkLineComponent, TooltipComponent, LabelLayout, CanvasRenderer,
]);

export { init, registerMap };
