function vectors()
%VECTORS The program `vectors` of sdk/tests/GAME.md.
%   It reads lines about bytes, and answers what they mean and are written as.
  while true
    line = fgetl(stdin);
    if ~ischar(line)
      return
    end
    try
      text = answer(strsplit(strtrim(line), ' '));
    catch err
      text = ['refused ' strrep(err.message, sprintf('\n'), ' ')];
    end
    fprintf('%s\n', text);
  end
end

function text = answer(words)
  bytes = unhex('');
  if numel(words) > 1
    bytes = unhex(words{end});
  end
  r = rlay.Reader(bytes);
  w = rlay.Writer();
  w.allowsOpaque = true;
  w.keys = 4096;
  switch words{1}
    case 'value'
      found = r.value();
      r.finish();
      w.value(found);
      text = ok(value(found), w.finish());
    case 'space'
      found = readSpace(r);
      r.finish();
      w.space(found);
      text = ok(space(found), w.finish());
    case 'payload'
      of = readSpace(rlay.Reader(unhex(words{2})));
      if numel(words) < 4
        r = rlay.Reader(unhex(''));
      end
      rows = rlay.unpack(r, of, str2double(words{3}));
      r.finish();
      [isPacked, packed] = rlay.pack(of, rows);
      if ~isPacked
        error('not packed again');
      end
      text = ok(list(rows, @value), packed);
    case 'frame'
      message = rlay.readFrame(bytes);
      text = 'unread';
      if ~isempty(message.body)
        [name, body, payload] = frame(message, w);
        text = ok(object('kind', quoted(name), 'seq', digits(message.seq), 'ack', digits(message.ack), ...
          're', digits(message.re), 'body', body, payload{:}), w.finish());
      end
    otherwise
      stream = rlay.FrameReader();
      for byte = bytes
        stream.give(byte);
      end
      frames = {};
      [found, whole] = stream.next();
      while found
        frames{end + 1} = hex(whole); %#ok<AGROW>
        [found, whole] = stream.next();
      end
      if ~stream.isBetweenFrames()
        error('a stream that ends inside of a frame');
      end
      states = {'open', 'closed'};
      text = ['ok ' strjoin(frames, ',') ' ' states{1 + stream.isClosed}];
  end
end

% ----- JSON. What is made here are texts, each a piece of JSON.

function text = ok(json, written)
  text = ['ok ' json ' ' hex(written)];
end

function text = hex(bytes)
  text = sprintf('%02x', bytes);
end

function bytes = unhex(text)
  bytes = zeros(1, 0, 'uint8');
  if ~isempty(text)
    bytes = uint8(hex2dec(reshape(text, 2, []).')).';
  end
end

function text = quoted(text)
  isPlain = text >= 32 & text ~= '"' & text ~= '\' & text ~= 127;
  pieces = num2cell(text);
  pieces(~isPlain) = arrayfun(@(c) sprintf('\\u%04x', double(c)), text(~isPlain), 'UniformOutput', false);
  text = ['"' pieces{:} '"'];
end

function text = digits(n)
  if isa(n, 'int64')
    text = sprintf('%d', n);
  else
    text = sprintf('%u', uint64(n));
  end
end

function text = truth(x)
  names = {'false', 'true'};
  text = names{1 + logical(x)};
end

function text = list(items, write)
  if ~iscell(items)
    items = num2cell(items);
  end
  parts = cellfun(write, items, 'UniformOutput', false);
  text = ['[' strjoin(reshape(parts, 1, []), ',') ']'];
end

function text = object(varargin)
  parts = cellfun(@(name, item) [quoted(name) ':' item], varargin(1:2:end), varargin(2:2:end), 'UniformOutput', false);
  text = ['{' strjoin(parts, ',') '}'];
end

function text = quotedHex(bytes)
  text = quoted(hex(bytes));
end

function text = orNull(x, write)
  text = 'null';
  if ~(isempty(x) && ~ischar(x))
    text = write(x);
  end
end

function text = numbers(x)
  text = list(x, @digits);
end

function [short, isBig] = dtypeOf(name)
  known = rlay.dtype(name);
  isBig = truth(known.isBig);
  short = quoted(strrep(strrep(strrep(known.base, 'uint', 'u'), 'int', 'i'), 'float', 'f'));
end

function text = elements(name, shape, data)
  [short, isBig] = dtypeOf(name);
  text = object('dtype', short, 'big_endian', isBig, 'shape', numbers(shape), 'data', quotedHex(data));
end

function text = value(x)
  if isa(x, 'double') && isempty(x)
    text = '"None"';
    return
  end
  switch class(x)
    case 'logical'
      text = object('Bool', truth(x));
    case 'int64'
      text = object('Int', digits(x));
    case 'double'
      text = object('Float', quoted(hex(fliplr(typecast(x, 'uint8')))));
    case 'char'
      text = object('Str', quoted(x));
    case 'cell'
      text = object('List', list(x, @value));
    case 'rlay.TupleValue'
      text = object('Tuple', list(x.items, @value));
    case 'rlay.DictValue'
      text = object('Dict', pairs(x));
    case 'rlay.Bytes'
      text = object('Bytes', quotedHex(x.bytes));
    case 'rlay.BigInt'
      text = object('BigInt', quotedHex(x.bytes));
    case 'rlay.NdArray'
      text = object('Array', elements(x.dtype, x.shape, x.data));
    case 'rlay.Scalar'
      text = object('Scalar', elements(x.dtype, [], x.data));
    case 'rlay.GraphInstance'
      text = object('nodes', value(x.nodes), 'edges', value(x.edges), 'edge_links', value(x.edgeLinks));
      text = object('Graph', text);
    case 'rlay.Opaque'
      text = object('Opaque', object('type_name', quoted(x.typeName), 'repr', quoted(x.repr)));
  end
end

function text = pairs(x)
  rows = cell(1, size(x.pairs, 1));
  for i = 1:numel(rows)
    rows{i} = list(x.pairs(i, :), @value);
  end
  text = list(rows, @(row) row);
end

% ----- Spaces, which the client never receives. Their functions refuse what is malformed.

function made = readSpace(r)
  r.enter();
  tag = r.u32();
  switch tag
    case 0
      known = rlay.dtype(r.u32());
      shape = r.numbers('uint64');
      n = rlay.bytesOf(shape, known.size) / known.size;
      low = readBound(r, known, n);
      made = rlay.Box(low, readBound(r, known, n), shape, known.name);
    case 1
      known = rlay.dtype(r.u32());
      n = r.u64();
      made = rlay.Discrete(n, r.i64(), known.name);
    case 2
      shape = r.numbers('uint64');
      made = rlay.MultiBinary(shape, true);
      made.isInt = r.flag();
    case 3
      known = rlay.dtype(r.u32());
      shape = r.numbers('uint64');
      nvec = r.numbers('int64');
      made = rlay.MultiDiscrete(nvec, r.numbers('int64'), known.name, shape);
    case 4
      minLength = r.u64();
      maxLength = r.u64();
      made = rlay.Text(maxLength, minLength, r.text());
    case 5
      made = rlay.Tuple(readSpaces(r));
    case 6
      given = cell(1, 2 * r.listLength(8));
      for i = 1:2:numel(given)
        given{i} = r.key();
        given{i + 1} = readSpace(r);
      end
      made = rlay.Dict(given{:});
    case 7
      stack = r.flag();
      made = rlay.Sequence(readSpace(r), stack);
    case 8
      made = rlay.Graph(readSpace(r));
      if r.flag()
        made.edge = readSpace(r);
      end
    case 9
      made = rlay.OneOf(readSpaces(r));
    otherwise
      error('unknown space tag');
  end
  r.leave();
end

function made = readSpaces(r)
  made = cell(1, r.listLength(4));
  for i = 1:numel(made)
    made{i} = readSpace(r);
  end
end

function bound = readBound(r, known, n)
  form = r.u32();
  if form > 1
    error('unknown bound');
  end
  if form == 0
    n = 1;
  end
  values = r.elements(known, n * known.size);
  bounded = r.raw(n);
  if any(bounded > 1)
    error('a bool is 0 or 1');
  end
  bound = struct('isUniform', form == 0, 'values', values, 'bounded', bounded);
end

function text = bound(x)
  if x.isUniform
    text = object('Uniform', object('value', quotedHex(x.values), 'bounded', truth(x.bounded)));
  else
    text = object('Each', object('values', quotedHex(x.values), 'bounded', list(x.bounded, @truth)));
  end
end

function text = space(x)
  if ~isempty(x.dtype)
    [short, isBig] = dtypeOf(x.dtype);
  end
  switch x.kind
    case 'Box'
      text = object('dtype', short, 'big_endian', isBig, 'shape', numbers(x.shape), ...
        'low', bound(x.low), 'high', bound(x.high));
    case 'Discrete'
      text = object('dtype', short, 'n', digits(x.n), 'start', digits(x.start));
    case 'MultiBinary'
      text = object('shape', numbers(x.shape), 'n_is_int', truth(x.isInt));
    case 'MultiDiscrete'
      text = object('dtype', short, 'big_endian', isBig, 'shape', numbers(x.shape), ...
        'nvec', numbers(x.nvec), 'start', numbers(x.start));
    case 'Text'
      text = object('min_length', digits(x.minLength), 'max_length', digits(x.maxLength), 'charset', quoted(x.charset));
    case 'Dict'
      pair = @(key, member) ['[' value(key) ',' space(member) ']'];
      text = list(cellfun(pair, x.keys, x.spaces, 'UniformOutput', false), @(entry) entry);
    case 'Sequence'
      text = object('space', space(x.spaces{1}), 'stack', truth(x.stack));
    case 'Graph'
      text = object('node', space(x.spaces{1}), 'edge', orNull(x.edge, @space));
    otherwise
      text = list(x.spaces, @space);
  end
  text = object(x.kind, text);
end

% ----- Frames

function [name, body, payload] = frame(message, w)
  x = message.body;
  payload = {};
  w.header(message.kind, message.seq, message.ack, message.re);
  if message.kind <= 10
    rlay.writeBody(w, message.kind, x);
  end
  switch message.kind
    case 1
      name = 'Hello';
      roles = {'Agent', 'Env'};
      resume = 'null';
      if ~isempty(x.ticket)
        resume = object('ticket', numbers(x.ticket), 'received', digits(x.received));
      end
      body = object('wire_min', digits(x.wireMin), 'wire_max', digits(x.wireMax), 'role', quoted(roles{1 + x.role}), ...
        'auth', digits(x.auth), 'features', digits(x.features), 'max_frame', digits(x.maxFrame), ...
        'peer', quoted(x.peer), 'nonce', orNull(x.nonce, @numbers), 'resume', resume);
    case 2
      name = 'Challenge';
      body = object('nonce', numbers(x.nonce));
    case 3
      name = 'Proof';
      body = object('proof', numbers(x.proof));
    case 4
      name = 'Welcome';
      body = object('wire', digits(x.wire), 'features', digits(x.features), 'max_frame', digits(x.maxFrame), ...
        'peer', quoted(x.peer), 'proof', orNull(x.proof, @numbers), 'ticket', orNull(x.ticket, @numbers), ...
        'received', orNull(x.received, @digits));
    case 5
      name = 'Reject';
      body = object('code', digits(x.code), 'wire_min', digits(x.wireMin), 'wire_max', digits(x.wireMax), ...
        'message', quoted(x.message));
    case 9
      name = 'Goodbye';
      body = object('code', digits(x.code), 'message', quoted(x.message));
    case 10
      name = 'Error';
      failure = object('error_type', quoted(x.errorType), 'message', quoted(x.message), ...
        'traceback', quoted(x.traceback));
      body = object('code', digits(x.code), 'fatal', truth(x.fatal), 'slots', numbers(x.slots), 'failure', failure);
    case 32
      name = 'Make';
      modes = {'Disabled', 'NextStep', 'SameStep'};
      body = object('env_id', orNull(x.envId, @quoted), 'kwargs', value(x.kwargs), ...
        'render_mode', orNull(x.renderMode, @quoted), 'slots', digits(x.slots), ...
        'autoreset_mode', quoted(modes{1 + x.autoreset}));
      w.optionalText(x.envId);
      w.value(x.kwargs);
      w.optionalText(x.renderMode);
      w.u32(x.slots);
      w.u8(x.autoreset);
    case 33
      name = 'Reset';
      rows = cell(1, numel(x.slots));
      w.u64(numel(rows));
      for i = 1:numel(rows)
        hasSeed = isa(x.seeds{i}, 'rlay.Bytes');
        w.u32(x.slots(i));
        w.u8(hasSeed);
        seed = 'null';
        if hasSeed
          w.blob(x.seeds{i}.bytes);
          seed = quotedHex(x.seeds{i}.bytes);
        end
        rows{i} = ['[' digits(x.slots(i)) ',' seed ']'];
      end
      body = object('rows', list(rows, @(row) row), 'options', value(x.options));
      w.value(x.options);
    case 34
      name = 'Step';
      body = numbers(x.slots);
      if ~isempty(x.payload.failure)
        error(x.payload.failure.identifier, '%s', x.payload.failure.message);
      end
      w.slots(x.slots);
      if x.payload.isPacked
        w.packed(x.payload.bytes);
        payload = {'payload', object('Packed', quotedHex(x.payload.bytes))};
      else
        w.u32(1);
        cellfun(@(item) w.value(item), x.payload.values);
        payload = {'payload', object('Values', list(x.payload.values, @value))};
      end
    case 36
      name = 'Attribute';
      w.slots(x.slots);
      w.text(x.name);
      w.u8(x.access);
      access = quoted('Get');
      if x.access > 0
        w.u64(numel(x.values));
        cellfun(@(item) w.value(item), x.values);
        access = object('Set', list(x.values, @value));
      end
      if x.access == 2
        w.value(x.kwargs);
        access = object('Call', ['[' list(x.values, @value) ',' pairs(x.kwargs) ']']);
      end
      body = object('slots', numbers(x.slots), 'name', quoted(x.name), 'access', access);
    otherwise
      names = {'Render', '', 'Close'};
      name = names{message.kind - 34};
      body = numbers(x.slots);
      w.slots(x.slots);
  end
end
