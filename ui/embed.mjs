// Writes what Vite made as a C++ source of gzip bytes:   node embed.mjs DIST OUT.cc
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { gzipSync } from 'node:zlib';

const [dist, out] = process.argv.slice(2);
const types = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.json': 'application/json',
};
// Octal escapes of three digits never run into what follows them.
const literal = (bytes) => {
  const lines = [];
  for (let i = 0; i < bytes.length; i += 60) {
    let line = '';
    for (const byte of bytes.subarray(i, i + 60))
      line += byte >= 32 && byte < 127 && !'"\\?'.includes(String.fromCharCode(byte))
        ? String.fromCharCode(byte)
        : '\\' + byte.toString(8).padStart(3, '0');
    lines.push(`"${line}"`);
  }
  return lines.join('\n');
};

let arrays = '', entries = '';
readdirSync(dist).sort().forEach((name, i) => {
  const content = readFileSync(join(dist, name));
  const packed = gzipSync(content, { level: 9 });
  const etag = '\\"' + createHash('sha256').update(content).digest('hex').slice(0, 32) + '\\"';
  arrays += `constexpr char kFile${i}[] =\n${literal(packed)};\n`;
  entries += `    {"${name}", "${types[extname(name)]}", "${etag}", {kFile${i}, sizeof kFile${i} - 1}, ${content.length}},\n`;
});
writeFileSync(out, `// Written by ui/embed.mjs.
#include "ui/bundle.hh"

namespace {

${arrays}
constexpr qanat::ui::Asset kAssets[] = {
${entries}};

}  // namespace

std::span<const qanat::ui::Asset> qanat::ui::bundle() noexcept { return kAssets; }
`);
