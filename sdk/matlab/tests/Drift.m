classdef Drift < handle
%DRIFT The first environment of sdk/tests/GAME.md.
  properties
    metadata = struct('render_modes', {{'rgb_array', 'ansi'}}, 'render_fps', int64(25));
    details = struct('rewardThreshold', 60, 'nondeterministic', false, 'maxEpisodeSteps', 100);
    observationSpace
    actionSpace
  end
  properties (Access = private)
    mode
    state % of the generator, in four limbs of 16 bits, lowest first, as doubles
    t
    x
    v
    fuel
    board
    dials
    lights
  end
  methods
    function self = Drift(mode)
      if ischar(mode) && ~any(strcmp(mode, {'rgb_array', 'ansi'}))
        error('game:mode', 'no render mode %s', mode);
      end
      self.mode = mode;
      self.observationSpace = rlay.Dict('board', rlay.Box(0, 255, [8 8], 'uint8'), ...
        'dials', rlay.MultiDiscrete([3 5]), 'fuel', rlay.Discrete(32), 'lights', rlay.MultiBinary(4), ...
        'position', rlay.Box(-Inf, Inf, 2, 'float64'));
      self.actionSpace = rlay.Discrete(3);
      self.seed([0 0 0 0]);
    end
    function [observation, info] = reset(self, seed, options)
      if ~isempty(seed)
        self.seed(limbsOf(seed));
      end
      self.t = 0;
      self.x = self.next() / 2147483648 - 1;
      self.v = 0;
      self.fuel = 20 + mod(self.next(), 12);
      self.board = zeros(1, 64);
      for i = 1:64
        self.board(i) = mod(self.next(), 256);
      end
      self.lamps();
      if isa(options, 'rlay.DictValue')
        % Of a Dict without it, sum([]) is 0.
        pause(sum(options.get('sleep')));
      end
      observation = self.observe();
      info = rlay.DictValue({'seeded', ~isempty(seed); 'options', options});
    end
    function [observation, reward, terminated, truncated, info] = step(self, action)
      if isa(action, 'rlay.Scalar')
        action = action.value();
      end
      action = double(action);
      if action < 0 || action > 2
        error('game:action', 'an action from 0 to 2, not %d', action);
      end
      self.t = self.t + 1;
      self.v = self.v * 0.9375 + (action - 1) * 0.0625 + (self.next() / 4294967296 - 0.5) * 0.03125;
      self.x = self.x + self.v;
      if action ~= 1 && self.fuel > 0
        self.fuel = self.fuel - 1;
      end
      cell = mod(self.next(), 64);
      self.board(cell + 1) = mod(self.next(), 256);
      self.lamps();
      observation = self.observe();
      reward = 1 - self.x * self.x;
      terminated = self.x > 2 || self.x < -2 || self.fuel == 0;
      truncated = self.t >= 100;
      info = rlay.DictValue({'t', int64(self.t); 'speed', abs(self.v); 'far', self.x > 1 || self.x < -1; ...
        'name', 'drift – é漢🎲'});
    end
    function frame = render(self)
      if strcmp(self.mode, 'ansi')
        frame = sprintf('t=%d', self.t);
        return
      end
      pixels = [self.board; 255 - self.board; repmat(mod(self.t, 256), 1, 64)];
      frame = rlay.NdArray('uint8', [8 8 3], pixels(:).');
    end
  end
  methods (Access = private)
    function seed(self, limbs)
      self.state = [0 0 0 0];
      self.next();
      self.state = carried(self.state + limbs);
      self.next();
    end
    function n = next(self)
      % PCG32 in limbs, for Octave's and MATLAB's uint64 saturates instead of wrapping around.
      old = self.state;
      m = [32557 19605 62509 22609]; % 6364136223846793005
      self.state = carried([old(1) * m(1) + 109, ...
        old(1) * m(2) + old(2) * m(1), ...
        old(1) * m(3) + old(2) * m(2) + old(3) * m(1), ...
        old(1) * m(4) + old(2) * m(3) + old(3) * m(2) + old(4) * m(1)]);
      whole = typecast(uint16(old), 'uint64');
      x = bitand(bitshift(bitxor(bitshift(whole, -18), whole), -27), uint64(4294967295));
      r = double(bitshift(whole, -59));
      turned = bitor(bitshift(x, -r), bitshift(x, mod(32 - r, 32)));
      n = double(bitand(turned, uint64(4294967295)));
    end
    function lamps(self)
      self.dials = [mod(self.t, 3), mod(self.next(), 5)];
      n = mod(self.next(), 16);
      self.lights = mod(floor(n ./ [1 2 4 8]), 2);
    end
    function observation = observe(self)
      observation = rlay.DictValue({'board', rlay.NdArray('uint8', [8 8], self.board); ...
        'dials', rlay.NdArray('int64', 2, self.dials); 'fuel', int64(self.fuel); ...
        'lights', rlay.NdArray('int8', 4, self.lights); 'position', rlay.NdArray('float64', 2, [self.x self.v])});
    end
  end
end

function limbs = limbsOf(seed)
  if isa(seed, 'rlay.BigInt')
    bytes = seed.bytes(1:8);
  else
    bytes = typecast(uint64(seed), 'uint8');
  end
  limbs = double(typecast(bytes, 'uint16'));
end

function limbs = carried(limbs)
  for i = 1:3
    limbs(i + 1) = limbs(i + 1) + floor(limbs(i) / 65536);
    limbs(i) = mod(limbs(i), 65536);
  end
  limbs(4) = mod(limbs(4), 65536);
end
