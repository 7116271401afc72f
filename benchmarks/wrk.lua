-- One call of the contract per request. Arguments: forecast or observe, and how many series.
-- Requests go round the series, so each caller has one of its own.

local kind, series
local sent = 0
local headers = { ["content-type"] = "application/json" }

function init(args)
  kind = args[1]
  series = tonumber(args[2])
end

function request()
  sent = sent + 1
  local name = "series-" .. sent % series
  local body
  if kind == "forecast" then
    body = string.format('{"unique_id": "%s"}', name)
  else
    body = string.format('{"unique_id": "%s", "y": %.6f}', name, 100 + math.random())
  end
  return wrk.format("POST", nil, headers, body)
end

-- What benchmarks/wrk.py reads. Times are in microseconds.
function done(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format(
    'figures: {"requests": %d, "duration": %d, "failed": %d, "p50": %f, "p99": %f}\n',
    summary.requests, summary.duration, failed, latency:percentile(50), latency:percentile(99)))
end
