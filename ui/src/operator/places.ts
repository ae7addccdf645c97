// Where location labels lie: longitude and latitude of what operators commonly name. The longest known end of a location
// counts, so "guian.gz.cn" is Guian, "x.gz.cn" Guizhou, "y.cn" China; what is not here stands beside the map.
export const kPlaces: Record<string, [number, number]> = {
  // Countries, near their middle.
  ae: [54, 24], ar: [-64, -34], at: [14, 47.5], au: [134, -25], be: [4.5, 50.8], br: [-52, -10], ca: [-100, 55], ch: [8.2, 46.8],
  cl: [-71, -33], cn: [104, 35], co: [-73, 4], cz: [15.5, 49.8], de: [10.4, 51.1], dk: [9.5, 56], eg: [30, 27], es: [-3.7, 40.3],
  fi: [26, 63], fr: [2.5, 46.7], gb: [-1.8, 53], gr: [22, 39], hk: [114.17, 22.32], hu: [19.4, 47.2], id: [113, -2], ie: [-8, 53.2],
  il: [35, 31.5], in: [79, 22], it: [12.5, 42.8], jp: [138, 36.5], ke: [38, 0.5], kr: [127.8, 36.4], kz: [67, 48], mo: [113.55, 22.2],
  mx: [-102, 23.6], my: [102, 4], ng: [8, 9.5], nl: [5.3, 52.2], no: [9, 61], nz: [173, -41], ph: [122, 12], pk: [69, 30],
  pl: [19.4, 52], pt: [-8, 39.6], qa: [51.2, 25.3], ro: [25, 46], ru: [60, 58], sa: [45, 24], se: [15.5, 61], sg: [103.82, 1.35],
  th: [101, 15], tr: [35, 39], tw: [121, 23.7], ua: [31.5, 49], uk: [-1.8, 53], us: [-98, 39.5], vn: [107, 16], za: [24.5, -29],
  // China's provinces by their usual two letters.
  'ah.cn': [117.2, 31.8], 'bj.cn': [116.4, 39.9], 'cq.cn': [106.5, 29.6], 'fj.cn': [119.3, 26.1], 'gd.cn': [113.3, 23.1],
  'gs.cn': [103.8, 36.1], 'gx.cn': [108.3, 22.8], 'gz.cn': [106.7, 26.6], 'ha.cn': [113.6, 34.8], 'hb.cn': [114.3, 30.6],
  'he.cn': [114.5, 38], 'hi.cn': [110.3, 20], 'hl.cn': [126.6, 45.8], 'hn.cn': [113, 28.2], 'jl.cn': [125.3, 43.9],
  'js.cn': [118.8, 32.1], 'jx.cn': [115.9, 28.7], 'ln.cn': [123.4, 41.8], 'nm.cn': [111.7, 40.8], 'nx.cn': [106.2, 38.5],
  'qh.cn': [101.8, 36.6], 'sc.cn': [104.1, 30.7], 'sd.cn': [117, 36.7], 'sh.cn': [121.5, 31.2], 'sn.cn': [108.9, 34.3],
  'sx.cn': [112.5, 37.9], 'tj.cn': [117.2, 39.1], 'xj.cn': [87.6, 43.8], 'xz.cn': [91.1, 29.7], 'yn.cn': [102.7, 25],
  'zj.cn': [120.2, 30.3],
  // Cities and cloud regions.
  'guian.gz.cn': [106.4, 26.4], 'guiyang.cn': [106.7, 26.6], 'beijing.cn': [116.4, 39.9], 'shanghai.cn': [121.5, 31.2],
  'guangzhou.cn': [113.3, 23.1], 'shenzhen.cn': [114.1, 22.5], 'hangzhou.cn': [120.2, 30.3], 'wuhan.cn': [114.3, 30.6],
  'chengdu.cn': [104.1, 30.7], 'hongkong.cn': [114.17, 22.32], 'ulanqab.cn': [113.1, 41], 'zhongwei.cn': [105.2, 37.5],
  'seoul.kr': [127, 37.6], 'busan.kr': [129, 35.2], 'tokyo.jp': [139.7, 35.7], 'osaka.jp': [135.5, 34.7], 'jurong.sg': [103.7, 1.33],
  'taipei.tw': [121.5, 25], 'jakarta.id': [106.8, -6.2], 'mumbai.in': [72.9, 19.1], 'delhi.in': [77.2, 28.6], 'sydney.au': [151.2, -33.9],
  'melbourne.au': [145, -37.8], 'dublin.ie': [-6.3, 53.3], 'london.uk': [-0.1, 51.5], 'london.gb': [-0.1, 51.5], 'paris.fr': [2.35, 48.9],
  'frankfurt.de': [8.7, 50.1], 'berlin.de': [13.4, 52.5], 'munich.de': [11.6, 48.1], 'amsterdam.nl': [4.9, 52.4], 'zurich.ch': [8.5, 47.4],
  'milan.it': [9.2, 45.5], 'madrid.es': [-3.7, 40.4], 'stockholm.se': [18.1, 59.3], 'warsaw.pl': [21, 52.2], 'virginia.us': [-78, 38],
  'ohio.us': [-83, 40], 'oregon.us': [-121, 45], 'iowa.us': [-93, 41.6], 'texas.us': [-98, 31], 'california.us': [-120, 37],
  'newyork.us': [-74, 40.7], 'montreal.ca': [-73.6, 45.5], 'toronto.ca': [-79.4, 43.7], 'saopaulo.br': [-46.6, -23.5],
  'capetown.za': [18.4, -33.9], 'johannesburg.za': [28, -26.2], 'dubai.ae': [55.3, 25.2],
};

export function placeOf(location: string): [number, number] | null {
  const labels = location.split('.');
  for (let i = 0; i < labels.length; ++i) {
    const place = kPlaces[labels.slice(i).join('.')];
    if (place) return place;
  }
  return null;
}
