classdef Echo < handle
%ECHO The second environment of sdk/tests/GAME.md.
  properties
    observationSpace
    actionSpace
  end
  methods
    function self = Echo(number)
      self.observationSpace = spaceOf(number);
      self.actionSpace = self.observationSpace;
    end
    function [observation, info] = reset(self, seed, options)
      observation = zeroOf(self.observationSpace);
      info = rlay.DictValue({'seeded', ~isempty(seed); 'options', options});
    end
    function [observation, reward, terminated, truncated, info] = step(~, action)
      observation = action;
      reward = 0.5;
      terminated = false;
      truncated = false;
      info = struct();
    end
  end
end

function space = spaceOf(number)
  switch number
    case 0
      space = rlay.Box(-1, 1, [2 3]);
    case 1
      space = rlay.Box(0, 255, [4 5 3], 'uint8');
    case 2
      space = rlay.Box(-Inf, Inf, [], 'float64');
    case 3
      space = rlay.Discrete(5, -2);
    case 4
      space = rlay.MultiBinary([2 3]);
    case 5
      space = rlay.MultiDiscrete([3 5 2], [0 -1 7]);
    case 6
      space = rlay.Text(12, 1, 'aé漢🎲 b');
    case 7
      space = rlay.Tuple({rlay.Discrete(3), rlay.Box(0, 1, 2, 'float64')});
    case 8
      space = rlay.Dict('a', rlay.Discrete(2), 'b', rlay.Tuple({rlay.MultiBinary(3), rlay.Text(4)}));
    case 9
      space = rlay.Sequence(rlay.Box(0, 1, 2));
    case 10
      space = rlay.Sequence(rlay.Discrete(4), true);
    case 11
      space = rlay.Graph(rlay.Box(-1, 1, 3), rlay.Discrete(4));
    case 12
      space = rlay.OneOf({rlay.Discrete(3), rlay.Box(-1, 1, 2)});
    case 13
      space = rlay.Box(-1, 1, 3, 'float16');
    case 14
      space = rlay.Box(false, true, 2, 'bool');
    case 15
      space = rlay.Box(intmin('int64'), intmax('int64'), 2, 'int64');
    case 16
      space = rlay.Box([-1 -Inf], [1 5], 2);
    case 17
      space = rlay.Graph(rlay.Box(-1, 1, 2, 'float64'));
  end
end

function x = zeroOf(space)
  switch space.kind
    case 'Discrete'
      x = space.start;
    case 'MultiDiscrete'
      x = rlay.NdArray(space.dtype, space.shape, space.start);
    case 'Text'
      x = repmat(space.charset(1), 1, double(space.minLength));
    case 'Tuple'
      x = rlay.TupleValue(cellfun(@zeroOf, space.spaces, 'UniformOutput', false));
    case 'Dict'
      x = rlay.DictValue([space.keys(:) reshape(cellfun(@zeroOf, space.spaces, 'UniformOutput', false), [], 1)]);
    case 'Sequence'
      x = rlay.TupleValue(cell(1, 0));
      if space.stack
        x = rlay.NdArray('int64', 0);
      end
    case 'Graph'
      node = space.spaces{1};
      x = rlay.GraphInstance(rlay.NdArray(node.dtype, [1 double(node.shape)]));
    case 'OneOf'
      x = rlay.TupleValue({rlay.Scalar('int64', 0), zeroOf(space.spaces{1})});
    otherwise
      x = rlay.NdArray(space.dtype, space.shape);
  end
end
