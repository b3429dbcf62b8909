classdef Reader < handle
%READER Reads one frame or a part of one. Raises an error rlay:protocol for bytes that are malformed.
  properties
    bytes
    at = 1
    depth = 32
    count = 2^20
    keys = 4096
    owed = 0 % bytes that the announced items behind this one take at least
  end
  methods
    function self = Reader(bytes)
      self.bytes = bytes;
    end
    function n = left(self), n = numel(self.bytes) - self.at + 1; end
    function bytes = raw(self, n)
      n = double(n);
      if n > numel(self.bytes) - self.at + 1
        error('rlay:protocol', '%.0f bytes announced, %d left', n, self.left());
      end
      bytes = self.bytes(self.at:self.at + n - 1);
      self.at = self.at + n;
    end
    function x = u8(self), x = double(self.raw(1)); end
    function x = u16(self), x = double(typecast(self.raw(2), 'uint16')); end
    function x = u32(self), x = double(typecast(self.raw(4), 'uint32')); end
    function x = u64(self), x = typecast(self.raw(8), 'uint64'); end
    function x = i64(self), x = typecast(self.raw(8), 'int64'); end
    function x = f64(self), x = typecast(self.raw(8), 'double'); end
    function bytes = blob(self), bytes = self.raw(self.u64()); end
    function x = flag(self)
      x = self.u8();
      if x > 1
        error('rlay:protocol', 'a bool is 0 or 1');
      end
      x = x == 1;
    end
    function x = text(self, most)
      bytes = self.blob();
      if nargin > 1 && numel(bytes) > most
        error('rlay:protocol', 'a name that is too long');
      end
      x = rlay.utf8(bytes);
    end
    function x = optionalText(self, most)
      %OPTIONALTEXT A text, or [] for none.
      x = [];
      if self.flag()
        x = self.text(most);
      end
    end
    function n = listLength(self, itemSize)
      %LISTLENGTH The count of a list whose items take at least so many bytes each.
      n = double(self.u64());
      if n > (self.left() - self.owed) / itemSize
        error('rlay:protocol', '%.0f items announced, %d bytes left', n, self.left());
      end
    end
    function n = countOf(self, itemSize)
      %COUNTOF The same for items of which each is counted, so that there is room for all of them.
      n = self.listLength(itemSize);
      if n > self.count
        error('rlay:protocol', 'too many values');
      end
    end
    function values = numbers(self, className)
      %NUMBERS A list of integers of 64 bits.
      n = self.listLength(8);
      values = zeros(1, 0, className);
      if n > 0
        values = typecast(self.raw(8 * n), className);
      end
    end
    function values = slots(self)
      n = self.listLength(4);
      values = zeros(1, 0);
      if n > 0
        values = double(typecast(self.raw(4 * n), 'uint32'));
      end
    end
    function zeros(self, n)
      if any(self.raw(n))
        error('rlay:protocol', 'padding or reserved bytes that are not 0');
      end
    end
    function finish(self)
      if self.left() > 0
        error('rlay:protocol', '%d bytes too many', self.left());
      end
    end
    function enter(self)
      if self.depth == 0
        error('rlay:protocol', 'nested too deep');
      elseif self.count == 0
        error('rlay:protocol', 'too many values');
      end
      self.depth = self.depth - 1;
      self.count = self.count - 1;
    end
    function leave(self), self.depth = self.depth + 1; end
    function bytes = elements(self, known, n)
      %ELEMENTS The next n bytes, of elements of a dtype.
      bytes = self.raw(n);
      if strcmp(known.base, 'bool') && any(bytes > 1)
        error('rlay:protocol', 'a bool is 0 or 1');
      end
    end

    function x = value(self)
      % Reads the commonest values itself, for calls of methods take long.
      at = self.at;
      if self.depth == 0
        error('rlay:protocol', 'nested too deep');
      elseif self.count == 0
        error('rlay:protocol', 'too many values');
      end
      self.count = self.count - 1;
      left = numel(self.bytes) - at + 1;
      if left < 4
        error('rlay:protocol', '4 bytes announced, %d left', left);
      end
      tag = double(self.bytes(at:at + 3)) * [1; 256; 65536; 16777216];
      if tag == 0
        x = [];
        self.at = at + 4;
        return
      elseif tag == 2 && left >= 12
        x = typecast(self.bytes(at + 4:at + 11), 'int64');
        self.at = at + 12;
        return
      elseif tag == 5 && left >= 12
        n = double(typecast(self.bytes(at + 4:at + 11), 'uint64'));
        if n <= left - 12
          x = rlay.utf8(self.bytes(at + 12:at + 11 + n));
          self.at = at + 12 + n;
          return
        end
      end
      self.at = at + 4;
      self.depth = self.depth - 1;
      switch tag
        case 1
          x = self.flag();
        case 2
          x = self.i64();
        case 3
          x = self.bigInt();
        case 4
          x = self.f64();
        case 5
          x = self.text();
        case 6
          x = rlay.Bytes(self.blob());
        case 7
          x = self.items();
        case 8
          x = rlay.TupleValue(self.items());
        case 9
          n = self.countOf(8);
          pairs = cell(n, 2);
          self.owed = self.owed + 8 * n;
          for i = 1:n
            self.owed = self.owed - 8;
            pairs{i, 1} = self.key();
            pairs{i, 2} = self.value();
          end
          x = rlay.DictValue(pairs);
        case 10
          known = rlay.dtype(self.u32());
          shape = self.numbers('uint64');
          n = self.u64();
          if rlay.bytesOf(shape, known.size) ~= n
            error('rlay:protocol', 'an array whose shape does not hold its data');
          end
          x = rlay.NdArray(known.name, shape, [], self.elements(known, n));
        case 11
          known = rlay.dtype(self.u32());
          x = rlay.Scalar(known.name, [], self.elements(known, known.size));
        case 12
          nodes = self.value();
          edges = self.value();
          x = rlay.GraphInstance(nodes, edges, self.value());
        case 13
          typeName = self.text();
          x = rlay.Opaque(typeName, self.text());
        otherwise
          error('rlay:protocol', 'unknown value tag %d', tag);
      end
      self.depth = self.depth + 1;
    end
    function x = key(self)
      start = self.at;
      x = self.value();
      % Tests that are quicker than those of isKey.
      if ischar(x)
        return
      elseif isa(x, 'int64')
        isFree = x >= 0 && x < 16384;
        yes = true;
      else
        [yes, isFree] = rlay.isKey(x);
      end
      if isFree
        return
      end
      if ~yes || (self.at - start > 256 && ~isa(x, 'rlay.Opaque'))
        error('rlay:protocol', 'a key that can be none, or is too long');
      end
      self.keys = self.keys - 1;
      if self.keys < 0
        error('rlay:protocol', 'too many keys that are neither texts nor small integers');
      end
    end
    function x = payload(self, rows)
      %PAYLOAD A payload, which ends the frame: a struct of isPacked and the bytes, or the values of as many rows.
      %   Where the values are malformed it has a failure, for that ends the request, not the session.
      x = struct('isPacked', false, 'bytes', [], 'values', {{}}, 'failure', []);
      form = self.u32();
      if form > 1
        error('rlay:protocol', 'an unknown form of a payload');
      elseif form == 1
        try
          for i = 1:rows
            x.values{i} = self.value();
          end
          self.finish();
        catch err
          x.failure = err;
          self.at = numel(self.bytes) + 1;
        end
        return
      end
      n = self.u64();
      pad = self.u32();
      if pad > 63 || mod(self.at - 1 + pad, 64) ~= 0
        error('rlay:protocol', 'a payload at another place than a multiple of 64');
      end
      self.zeros(pad);
      if n ~= self.left()
        error('rlay:protocol', 'a payload of another length than announced');
      end
      x.isPacked = true;
      x.bytes = self.raw(n);
    end
    function x = items(self)
      %ITEMS A list of values, a cell.
      n = self.countOf(4);
      x = cell(1, n);
      self.owed = self.owed + 4 * n;
      for i = 1:n
        self.owed = self.owed - 4;
        x{i} = self.value();
      end
    end
  end
  methods (Access = private)
    function x = bigInt(self)
      bytes = self.blob();
      n = numel(bytes);
      if n <= 8 || (bytes(n) == 0 && bytes(n - 1) < 128) || (bytes(n) == 255 && bytes(n - 1) >= 128)
        error('rlay:protocol', 'a large integer that is not in its shortest form');
      end
      x = rlay.BigInt(bytes);
    end
  end
end
