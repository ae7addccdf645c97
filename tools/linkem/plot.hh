// `linkem plot`: what a packet log says, to look at: throughput, delay and queue of every direction of every link.
// Written as SVG by hand, as PNG through cairo; both from one drawing.
#pragma once

#include <string>

namespace qanat::linkem {

// `to` ends in .svg or .png. Throws std::runtime_error that names the file and the line, or what is missing.
void plot(const std::string& log, const std::string& to);

}  // namespace qanat::linkem
